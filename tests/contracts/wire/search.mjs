// aimock's search service with two pages about tides; prints where it listens, ends with its standard input.
import { LLMock } from "@copilotkit/aimock";

const mock = new LLMock({ host: "127.0.0.1", port: 0 });
mock.onSearch("tides", [
  { title: "Tides", url: "https://example.org/tides", content: "Twice a day.", score: 0.9 },
  { title: "Spring tides", url: "https://example.org/spring", content: "At full and new moon.", score: 0.8 },
]);
console.log(await mock.start());
process.stdin.resume();
process.stdin.on("end", async () => process.exit(0));
