// `npm start`: the whole system on this machine, until Ctrl-C.

import { parseArgs } from "node:util";
import { startSystem } from "./system.ts";

const DEFAULT_PORT = 8787;
const DEFAULT_STATE = ".sandpiper/state";

const help = `usage: npm start [-- options]

  --port N            where to listen on 127.0.0.1 (${DEFAULT_PORT}; another one if it is taken)
  --state DIR         where everything is kept (${DEFAULT_STATE})
  --inspector-port N  where a debugger may attach (any free one)
  --quiet             no log in the terminal; the log file has it
  --help              this text`;

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      port: { type: "string", default: String(DEFAULT_PORT) },
      state: { type: "string", default: DEFAULT_STATE },
      "inspector-port": { type: "string", default: "0" },
      quiet: { type: "boolean", default: false },
      help: { type: "boolean", default: false },
    },
  });
  if (values.help) return console.log(help);
  const wantedPort = parsePort("--port", values.port);
  const inspectorPort = parsePort("--inspector-port", values["inspector-port"]);

  console.log("Starting Sandpiper …");
  const system = await startSystem({ port: wantedPort, inspectorPort, stateDir: values.state, quiet: values.quiet });
  if (wantedPort !== 0 && system.port !== wantedPort) {
    console.log(`\nPort ${wantedPort} is taken by another program; using ${system.port}. --port chooses one.`);
  }
  console.log(`
Sandpiper is ready at ${system.url}

  Try it    npm run demo
  Health    curl ${system.url}/health
  State     ${values.state} (delete it to start afresh)
  Log       ${system.logFile}
  Codes     in the log: whoever signs in with a phone number finds theirs there, and nothing is sent
  Stop      Ctrl-C
`);
  await untilStopped(system);
}

function parsePort(option: string, text: string): number {
  const port = Number(text);
  if (!/^\d+$/.test(text) || port > 65_535) throw new Error(`${option} takes a number up to 65535, not "${text}".`);
  return port;
}

async function untilStopped(system: Awaited<ReturnType<typeof startSystem>>): Promise<void> {
  let stopping = false;
  const stop = (): void => {
    if (!stopping) console.log("Stopping …");
    stopping = true;
    void system.stop();
  };
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, stop);
  const lastOutput = await system.ended;
  if (!stopping) {
    throw new Error(`The system ended by itself. Its last output:\n\n${lastOutput}\n\nStart it again with npm start.`);
  }
}

try {
  await main();
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
}
