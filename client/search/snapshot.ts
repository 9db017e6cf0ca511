import type { ConversationId } from "../../shared/ids.ts";
import type { SearchDocument } from "./search-index.ts";

/** What an index is made of, apart from the search engine that knows its own. */
export interface SnapshotParts {
  /** JSON. */
  readonly engine: string;
  readonly documents: Map<number, SearchDocument>;
  readonly cursors: Map<ConversationId, number>;
}

/** Rises also when words are found otherwise than before. */
const VERSION = 1;

interface Packed {
  readonly version: number;
  readonly cursors: readonly [ConversationId, number][];
  /** Conversations and people, once each; the documents have their places in this list. */
  readonly names: readonly string[];
  readonly documents: readonly PackedDocument[];
}

type PackedDocument = readonly [
  number: number,
  conversation: number,
  seq: number,
  id: string,
  sender: number,
  at: number,
  text: string,
];

/** Two lines of JSON, compressed (RFC 1951): what is ours, and what is the engine's. */
export function packSnapshot({ engine, documents, cursors }: SnapshotParts): Promise<Uint8Array<ArrayBuffer>> {
  const places = new Map<string, number>();
  const placeOf = (name: string) => {
    const place = places.get(name) ?? places.size;
    places.set(name, place);
    return place;
  };
  const rows = [...documents].map(([number, { conversation, seq, id, sender, at, text }]): PackedDocument => {
    return [number, placeOf(conversation), seq, id, placeOf(sender), at, text];
  });
  const packed: Packed = { version: VERSION, cursors: [...cursors], names: [...places.keys()], documents: rows };
  return through(
    new CompressionStream("deflate-raw"),
    new TextEncoder().encode(`${JSON.stringify(packed)}\n${engine}`),
  );
}

/** @throws if it is of another version, or cannot be read: everything in it can be had again */
export async function unpackSnapshot(snapshot: Uint8Array): Promise<SnapshotParts> {
  const bytes = await through(new DecompressionStream("deflate-raw"), new Uint8Array(snapshot));
  const [ours = "", engine = ""] = new TextDecoder("utf-8", { fatal: true }).decode(bytes).split("\n");
  const packed: Packed = JSON.parse(ours);
  if (packed.version !== VERSION) throw new Error("a snapshot of another version");
  return { engine, documents: unpackDocuments(packed), cursors: new Map(packed.cursors) };
}

function unpackDocuments({ names, documents }: Packed): Map<number, SearchDocument> {
  return new Map(
    documents.map(([number, conversation, seq, id, sender, at, text]) => {
      return [number, { conversation: names[conversation] ?? "", seq, id, sender: names[sender] ?? "", at, text }];
    }),
  );
}

async function through(
  transform: CompressionStream | DecompressionStream,
  bytes: Uint8Array<ArrayBuffer>,
): Promise<Uint8Array<ArrayBuffer>> {
  return new Uint8Array(await new Response(new Blob([bytes]).stream().pipeThrough(transform)).arrayBuffer());
}
