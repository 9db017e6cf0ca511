import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { WebSocket } from "playwright-core";
import { Chat, MemoryStore, requestCode, signIn } from "../../client/index.ts";
import { type CodeReader, codesInLog } from "../../scripts/codes.ts";
import { fictitiousPhone } from "../../scripts/fictitious-phone.ts";
import { type System, startSystem } from "../../scripts/system.ts";
import { refreshSession } from "../../shared/api/session.ts";
import type * as Script from "./page/chat.ts";
import { Site, type Tab } from "./site.ts";

export interface ChatTab extends Tab<typeof Script> {
  /** What the page has asked the network for. */
  readonly traffic: {
    readonly sockets: WebSocket[];
    renewals: number;
  };
}

/** A device in the browser: its tabs share a database. */
export interface BrowserDevice {
  readonly database: string;
  readonly phone: string;
  readonly user: string;
}

/** The whole system on this machine, one browser whose pages have the SDK, and people outside it. */
export class Town {
  readonly url: string;
  readonly #site: Site<typeof Script>;
  readonly #system: System;
  readonly #directory: string;
  readonly #codeFor: CodeReader;
  readonly #chats: Chat[] = [];
  readonly #tabs: ChatTab[] = [];
  #phones = 0;

  private constructor(site: Site<typeof Script>, system: System, directory: string) {
    this.url = system.url;
    this.#site = site;
    this.#system = system;
    this.#directory = directory;
    this.#codeFor = codesInLog(system.logFile);
  }

  static async open(endpoint: string): Promise<Town> {
    const directory = mkdtempSync(join(tmpdir(), "sandpiper-browser-"));
    const site = await Site.open<typeof Script>("test/browser/page/chat.ts", endpoint);
    const vars = { ALLOWED_ORIGINS: site.origin, SENDS_PER_MINUTE: "10000" };
    return new Town(site, await startSystem({ stateDir: directory, quiet: true, vars }), directory);
  }

  async close(): Promise<void> {
    for (const chat of this.#chats) await chat[Symbol.asyncDispose]();
    await this.#site.close();
    await this.#system.stop();
    rmSync(this.#directory, { recursive: true });
  }

  async closeTabs(): Promise<void> {
    await Promise.all(this.#tabs.splice(0).map(({ page }) => page.close()));
  }

  /** Somebody new, signed in in the browser; their account has no other device. */
  async signUp(): Promise<BrowserDevice> {
    const [tab, phone] = [await this.openPage(), this.#newPhone()];
    const database = `chat ${phone}`;
    const code = await this.#codeFor(phone, () => tab.run.askForCode(this.url, phone));
    const user = await tab.run.enter(this.url, database, phone, code);
    await tab.page.close();
    return { database, phone, user };
  }

  /** Somebody new whose device is no browser, connected. */
  async friend(): Promise<{ readonly chat: Chat; readonly phone: string }> {
    const [store, phone] = [new MemoryStore(), this.#newPhone()];
    const code = await this.#codeFor(phone, () => requestCode(this.url, phone));
    const account = await signIn({ url: this.url, store, phone, code, deviceName: "Phone" });
    await account.profile.update({ name: "Grace" });
    const chat = await Chat.open({ account, store, client: "test 1" });
    this.#chats.push(chat);
    chat.connection.open();
    await chat.connection.caughtUp();
    return { chat, phone };
  }

  /** Which has opened nothing yet. */
  async openPage(): Promise<ChatTab> {
    const opened = await this.#site.openTab();
    const tab: ChatTab = { ...opened, traffic: { sockets: [], renewals: 0 } };
    tab.page.on("websocket", (socket) => tab.traffic.sockets.push(socket));
    tab.page.on("request", (request) => {
      if (request.url().endsWith(refreshSession.path)) tab.traffic.renewals += 1;
    });
    this.#tabs.push(tab);
    return tab;
  }

  /** They lead in the order in which they are opened. */
  async openTabs({ database }: BrowserDevice, count: number): Promise<ChatTab[]> {
    const tabs = await Promise.all(Array.from({ length: count }, () => this.openPage()));
    for (const { run } of tabs) {
      await run.open(this.url, database);
      await run.connect();
    }
    return tabs;
  }

  crash(tab: ChatTab): Promise<void> {
    return this.#site.crash(tab);
  }

  #newPhone(): string {
    this.#phones += 1;
    return fictitiousPhone(this.#phones);
  }
}
