// Starts the real binary in a fresh data directory on a free port, and stops it.
import { spawn, execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";

export async function startServer(binary) {
  const data = mkdtempSync(join(tmpdir(), "wellspring-web-"));
  const child = spawn(binary, ["serve", "--listen", "127.0.0.1:0", "--data", data], {
    stdio: ["ignore", "pipe", "inherit"],
    env: { ...process.env, WELLSPRING_LOG__FILTER: "warn" },
  });
  const ended = new Promise((resolve) => child.once("exit", resolve));
  const url = await new Promise((resolve, reject) => {
    createInterface({ input: child.stdout }).on("line", (line) => {
      const at = line.indexOf("listening on ");
      if (at >= 0) resolve(line.slice(at + "listening on ".length).trim());
    });
    ended.then((code) => reject(new Error(`the server ended with ${code} before it listened`)));
  });
  const token = (...roles) =>
    execFileSync(binary, ["token", "--data", data, "--subject", "web", ...roles.flatMap((r) => ["--role", r])], {
      encoding: "utf8",
    }).trim();
  const stop = async () => {
    child.kill("SIGTERM");
    await ended;
    rmSync(data, { recursive: true, force: true });
  };
  return { url, token, stop };
}

export async function source(server, token, path, document) {
  const answer = await fetch(`${server.url}/source/${path}`, {
    method: "POST",
    headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
    body: JSON.stringify(document),
  });
  if (answer.status !== 202) throw new Error(`source: ${answer.status} ${await answer.text()}`);
  return answer.json();
}

export async function graphql(server, token, query) {
  const answer = await fetch(`${server.url}/graphql`, {
    method: "POST",
    headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
    body: JSON.stringify({ query }),
  });
  return answer.json();
}

/** Asks again until `good` holds; fails after `seconds`. */
export async function until(what, good, seconds = 20) {
  const end = Date.now() + seconds * 1000;
  for (;;) {
    const answer = await what();
    if (good(answer)) return answer;
    if (Date.now() > end) throw new Error(`not within ${seconds} s; last answer: ${JSON.stringify(answer)}`);
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
}
