import { listDurableObjectIds, runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";

/**
 * Everything that is stored anywhere, as text to search in: by place, such as "USER 1a2b… device".
 * @param names of objects that may be asleep and wake by their names only
 */
export async function everythingStored(names: readonly string[]): Promise<Map<string, string>> {
  const objects = Object.entries(env).filter(([, binding]) => isNamespace(binding));
  const places = await Promise.all([
    storedOutsideObjects(),
    ...objects.map(([name, binding]) => storedInObjects(name, binding as unknown as DurableObjectNamespace, names)),
  ]);
  return new Map(places.flat());
}

/** The rows of the database and the files. */
export async function storedOutsideObjects(): Promise<Place[]> {
  return [...(await storedInDatabase()), ...(await storedInBucket())];
}

/** Where any of the texts stands, in whatever case. */
export function placesOf(stored: Map<string, string>, texts: readonly string[]): string[] {
  const wanted = texts.map((text) => text.toLowerCase());
  const found = [...stored].filter(([, content]) => wanted.some((text) => content.toLowerCase().includes(text)));
  return found.map(([place]) => place);
}

type Place = [place: string, content: string];

function isNamespace(binding: unknown): boolean {
  return Object.prototype.toString.call(binding) === "[object DurableObjectNamespace]";
}

async function storedInDatabase(): Promise<Place[]> {
  const tables = await env.DB.prepare("SELECT name FROM sqlite_master WHERE type = 'table'").all<{ name: string }>();
  const names = tables.results.map(({ name }) => name).filter((name) => !name.startsWith("_cf"));
  return Promise.all(
    names.map(async (name): Promise<Place> => {
      const { results } = await env.DB.prepare(`SELECT * FROM "${name}"`).all();
      return [`DB ${name}`, textOf(results)];
    }),
  );
}

async function storedInBucket(): Promise<Place[]> {
  const { objects, truncated } = await env.MEDIA.list();
  if (truncated) throw new Error("more files than a test has");
  return Promise.all(
    objects.map(async ({ key }): Promise<Place> => {
      const file = await env.MEDIA.get(key);
      const bytes = new Uint8Array((await file?.arrayBuffer()) ?? []);
      return [`MEDIA ${key}`, textOf([key, file?.customMetadata, bytes])];
    }),
  );
}

async function storedInObjects(
  name: string,
  namespace: DurableObjectNamespace,
  names: readonly string[],
): Promise<Place[]> {
  const named = new Map(names.map((known) => namespace.idFromName(known)).map((id) => [id.toString(), id]));
  const ids = await listDurableObjectIds(namespace);
  const stored = ids.map((id) =>
    runInDurableObject(namespace.get(named.get(id.toString()) ?? id), async (_, { storage }): Promise<Place[]> => {
      const tables = storage.sql
        .exec<{ name: string }>("SELECT name FROM sqlite_master WHERE type = 'table'")
        .toArray();
      const rows = tables
        .filter(({ name: table }) => !table.startsWith("_cf"))
        .map(({ name: table }): Place => {
          const found = storage.sql.exec(`SELECT * FROM "${table}"`).toArray();
          return [`${name} ${id} ${table}`, textOf([table, found])];
        });
      return [...rows, [`${name} ${id} (values)`, textOf([...(await storage.list())])]];
    }),
  );
  return (await Promise.all(stored)).flat();
}

/** Bytes as the characters that they are in Latin-1, so that a text in ASCII is found among them. */
function textOf(value: unknown): string {
  return JSON.stringify(value, (_, part: unknown) => {
    if (part instanceof ArrayBuffer) return new TextDecoder("latin1").decode(part);
    if (part instanceof Uint8Array) return new TextDecoder("latin1").decode(part);
    return part instanceof Map || part instanceof Set ? [...part] : part;
  });
}
