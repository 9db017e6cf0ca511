import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { build } from "esbuild";
import { type Browser, type BrowserContext, chromium, type Page } from "playwright-core";

/** What a page's script exports, as it is called from outside: arguments and answers travel as JSON does. */
type Remote<Script> = {
  readonly [K in keyof Script]: Script[K] extends (...args: infer Args) => infer Answer
    ? (...args: Args) => Promise<Awaited<Answer>>
    : never;
};

/** A tab that runs a script of ours. */
export interface Tab<Script> {
  readonly page: Page;
  readonly run: Remote<Script>;
}

/** Serves one script to one browser, which has its storage to itself; 127.0.0.1 counts as a secure context. */
export class Site<Script> {
  readonly #server: Server;
  readonly #browser: Browser;
  readonly #context: BrowserContext;

  private constructor(server: Server, browser: Browser, context: BrowserContext) {
    this.#server = server;
    this.#browser = browser;
    this.#context = context;
  }

  /**
   * @param entry the page's script, from the root of the repository
   * @param endpoint where the browser listens
   */
  static async open<Script>(entry: string, endpoint: string): Promise<Site<Script>> {
    const [script, browser] = await Promise.all([bundle(entry), chromium.connect(endpoint)]);
    return new Site<Script>(await serve(script), browser, await browser.newContext());
  }

  get origin(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async openTab(): Promise<Tab<Script>> {
    const page = await this.#context.newPage();
    await page.goto(this.origin);
    const run = new Proxy({} as Remote<Script>, {
      get:
        (_, name) =>
        (...args: unknown[]) =>
          page.evaluate(callScript, { name: String(name), args }),
    });
    return { page, run };
  }

  /** As if its renderer had failed: the page gets no chance to do anything. */
  async crash({ page }: Tab<Script>): Promise<void> {
    const session = await this.#context.newCDPSession(page);
    const crashed = page.waitForEvent("crash");
    session.send("Page.crash").catch(() => {});
    await crashed;
    await page.close();
  }

  /** As if its user had said so. */
  async allow({ page }: Tab<Script>, permission: "durableStorage"): Promise<void> {
    const session = await this.#context.newCDPSession(page);
    const { browserContextId = "" } = (await session.send("Target.getTargetInfo")).targetInfo;
    const permissions = [permission];
    await session.send("Browser.grantPermissions", { origin: this.origin, permissions, browserContextId });
  }

  /** How much its pages may store; to be said before they do. */
  async limitStorage({ page }: Tab<Script>, quotaSize: number): Promise<void> {
    const session = await this.#context.newCDPSession(page);
    await session.send("Storage.overrideQuotaForOrigin", { origin: this.origin, quotaSize });
  }

  async close(): Promise<void> {
    await this.#context.close();
    await this.#browser.close();
    this.#server.close();
  }
}

/** Runs in the page. */
function callScript({ name, args }: { name: string; args: unknown[] }): unknown {
  const { script } = globalThis as unknown as { script: Record<string, (...args: unknown[]) => unknown> };
  return script[name]!(...args);
}

async function bundle(entry: string): Promise<string> {
  const { outputFiles } = await build({
    entryPoints: [entry],
    ...{ bundle: true, write: false, format: "iife", globalName: "script", target: "es2023" },
  });
  return new TextDecoder().decode(outputFiles[0]?.contents);
}

async function serve(script: string): Promise<Server> {
  const server = createServer(({ url }, response) => {
    const isScript = url === "/script.js";
    response.setHeader("content-type", `${isScript ? "text/javascript" : "text/html"}; charset=utf-8`);
    // Each tab would fetch and compile it anew.
    if (isScript) response.setHeader("cache-control", "max-age=600");
    response.end(isScript ? script : '<!doctype html><title>Sandpiper</title><script src="/script.js"></script>');
  });
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
  return server;
}
