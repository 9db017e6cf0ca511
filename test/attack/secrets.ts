type Kind = "phone" | "code" | "token";

/** What people and devices have that must stay between them and the server's memory. */
export class Secrets {
  readonly #kept = new Map<Kind, Set<string>>();

  add(kind: Kind, secret: string): void {
    const kept = this.#kept.get(kind) ?? new Set();
    this.#kept.set(kind, kept.add(secret));
  }

  /** Those that stand in this text; a code only where it is not part of a longer number or name. */
  foundIn(text: string): string[] {
    return [...this.#kept].flatMap(([kind, secrets]) =>
      [...secrets].filter((secret) => isIn(text, kind, secret)).map((secret) => `${kind} ${secret.slice(0, 12)}`),
    );
  }

  get count(): number {
    return [...this.#kept.values()].reduce((sum, { size }) => sum + size, 0);
  }
}

function isIn(text: string, kind: Kind, secret: string): boolean {
  // A token is known by its signature: what stands before it is not secret.
  if (kind === "token") return text.includes(secret.slice(-40));
  if (kind !== "code") return text.includes(secret);
  return new RegExp(`(?<![\\w.-])${secret}(?![\\w.-])`).test(text);
}
