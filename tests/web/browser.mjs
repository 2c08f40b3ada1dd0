// A person at the playground: GraphiQL in headless Chromium, for which no host but the server's exists. Types a query
// and sees rows; types a subscription and sees a change arrive after a mutation; cannot connect elsewhere.
import { createServer } from "node:net";
import { chromium } from "playwright-core";
import { graphql, source, startServer, until } from "./server.mjs";

const [binary, executablePath = "/usr/bin/chromium", screenshot] = process.argv.slice(2);
const server = await startServer(binary);
const token = server.token("admin");
const foreign = [];
const problems = [];
let browser;
try {
  await source(server, token, "garden/plant/greenhouse/1", { name: "Fern", height: 31.5, watered: true });
  const first = "{ gardenPlant { nodes { name } } }";
  await until(() => graphql(server, token, first), (a) => a.data?.gardenPlant?.nodes?.length === 1);

  browser = await chromium.launch({
    executablePath,
    args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
      "--disable-component-update", "--disable-sync", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"],
  });
  const page = await browser.newPage({ viewport: { width: 1280, height: 800 } });
  await page.route("**/*", (route) => {
    const url = new URL(route.request().url());
    if (url.origin === server.url || url.protocol === "data:" || url.protocol === "blob:") return route.continue();
    foreign.push(url.href);
    return route.abort();
  });
  page.on("pageerror", (error) => problems.push(`page error: ${error.message}`));
  page.on("console", (message) => {
    if (message.type() === "error") problems.push(`console: ${message.text()}`);
  });

  await page.goto(`${server.url}/graphiql#token=${token}`);
  await page.waitForSelector(".graphiql-query-editor .CodeMirror");
  const typed = () =>
    page.evaluate(() => document.querySelector(".graphiql-query-editor .CodeMirror").CodeMirror.getValue());
  const type = async (text) => {
    await page.click(".graphiql-query-editor .CodeMirror");
    await page.keyboard.press("Control+A");
    await page.keyboard.press("Delete");
    await page.keyboard.insertText(text);
    if ((await typed()) !== text) throw new Error(`typed ${text}, the editor has ${await typed()}`);
  };
  const shown = () =>
    page.evaluate(() => document.querySelector(".graphiql-response .CodeMirror, .result-window .CodeMirror")?.CodeMirror.getValue() ?? "");
  const run = () => page.click(".graphiql-execute-button");

  // What stands there at first is a query, and shows what there is.
  await run();
  await until(shown, (text) => text.includes('"name": "gardenPlant"'));

  await type("{ gardenPlant { totalCount nodes { name height watered } } }");
  await run();
  const rows = await until(shown, (text) => text.includes('"Fern"'));
  if (!rows.includes('"totalCount": 1') || !rows.includes("31.5")) throw new Error(`rows: ${rows}`);

  await type("subscription { gardenPlant { op key node { name height } } }");
  // GraphiQL reads the editor with a delay: until then it takes the document for the query before. Press again.
  const label = () => page.getAttribute(".graphiql-execute-button", "aria-label");
  const keepRunning = async () => {
    if (!(await label()).startsWith("Stop")) await run();
  };
  // The socket may still be opening: plants are sent until one is seen.
  let n = 0;
  const mutation = () =>
    `mutation { source(input: {category: "garden", subcategory: "plant", sourceName: "greenhouse", sourceUid: "fig-${(n += 1)}", data: {name: "Fig", height: 120, watered: false}}) { id status } }`;
  const change = await until(
    async () => {
      await keepRunning();
      const answer = await graphql(server, token, mutation());
      if (answer.errors) throw new Error(JSON.stringify(answer.errors));
      await new Promise((resolve) => setTimeout(resolve, 200));
      return shown();
    },
    (text) => text.includes('"Fig"'),
  );
  if (!change.includes('"op": "UPSERT"')) throw new Error(`change: ${change}`);
  if (screenshot) await page.screenshot({ path: screenshot });
  if (problems.length > 0) throw new Error(problems.join("\n"));
  // Another port of the same machine can be reached, but not from this page.
  const elsewhere = createServer((socket) => foreign.push(`port ${socket.localPort}`) && socket.destroy());
  await new Promise((resolve) => elsewhere.listen(0, "127.0.0.1", resolve));
  const outcome = await page.evaluate(
    (port) =>
      new Promise((resolve) => {
        document.addEventListener("securitypolicyviolation", (event) => resolve(event.effectiveDirective));
        try {
          const socket = new WebSocket(`ws://127.0.0.1:${port}/`);
          socket.onopen = socket.onclose = () => resolve("it was tried");
        } catch (error) {
          resolve(error.message);
        }
      }),
    elsewhere.address().port,
  );
  elsewhere.close();
  if (outcome !== "connect-src") throw new Error(`a socket to another port: ${outcome}`);
  if (foreign.length > 0) throw new Error(`the page asked other hosts: ${foreign.join(", ")}`);
  console.log("browser: 1 passed, 0 failed");
} finally {
  await browser?.close();
  await server.stop();
}
