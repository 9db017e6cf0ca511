// `npm start`: the whole system on this machine, until Ctrl-C.

import { readOptions, wholeNumber } from "./options.ts";
import { startSystem } from "./system.ts";

const DEFAULT_PORT = 8787;
const MAX_PORT = 65_535;
const DEFAULT_STATE = ".sandpiper/state";

const usage = `usage: npm start [-- options]

  --port N            where to listen on 127.0.0.1 (${DEFAULT_PORT}; another one if it is taken)
  --state DIR         where everything is kept (${DEFAULT_STATE})
  --inspector-port N  where a debugger may attach (any free one)
  --quiet             no log in the terminal; the log file has it
  --help              this text`;

const accepted = {
  port: { type: "string", default: String(DEFAULT_PORT) },
  state: { type: "string", default: DEFAULT_STATE },
  "inspector-port": { type: "string", default: "0" },
  quiet: { type: "boolean", default: false },
} as const;

async function main(): Promise<void> {
  const { port, ...options } = readOptions(usage, accepted, (values) => ({
    port: wholeNumber("--port", values.port, 0, MAX_PORT),
    inspectorPort: wholeNumber("--inspector-port", values["inspector-port"], 0, MAX_PORT),
    stateDir: values.state,
    quiet: values.quiet,
  }));
  console.log("Starting Sandpiper …");
  const system = await startSystem({ port, ...options });
  if (port !== 0 && system.port !== port) {
    console.log(`\nPort ${port} is taken by another program; using ${system.port}. --port chooses one.`);
  }
  console.log(`
Sandpiper is ready at ${system.url}

  Try it    npm run demo
  Health    curl ${system.url}/health
  State     ${options.stateDir} (delete it to start afresh)
  Log       ${system.logFile}
  Codes     in the log: whoever signs in with a phone number finds theirs there, and nothing is sent
  Stop      Ctrl-C
`);
  await untilStopped(system);
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
