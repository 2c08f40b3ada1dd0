// All server audits of graphql-http against the real binary; every one must pass, whether MUST, SHOULD or MAY.
import { serverAudits } from "graphql-http";
import { startServer } from "./server.mjs";

const server = await startServer(process.argv[2]);
let failed = 0;
let passed = 0;
try {
  for (const audit of serverAudits({ url: `${server.url}/graphql`, fetchFn: fetch })) {
    const result = await audit.fn();
    if (result.status === "ok") {
      passed += 1;
    } else {
      failed += 1;
      console.log(`${result.status}: ${audit.id} ${audit.name}: ${result.reason}`);
    }
  }
} finally {
  await server.stop();
}
console.log(`audits: ${passed} passed, ${failed} failed`);
process.exit(failed === 0 && passed >= 61 ? 0 : 1);
