import type { Adapter, MessageEvent, Seat } from "./adapter.ts";

const ID_BYTES = 4;

export const adapter: Adapter = {
  async openPair({ origin }, pair, body) {
    const sender = `sender-${pair}`;
    const recipient = `recipient-${pair}`;
    return {
      sender: seat(origin, { user: sender, peer: recipient, conversation: `conversation-${pair}` }, "sent"),
      recipient: seat(origin, { user: recipient }, "delivered"),
      encodeSends: (ids) => ids.map((id) => encode(id, body)),
    };
  },
};

function encode(id: number, body: Uint8Array): Buffer {
  const frame = Buffer.allocUnsafe(ID_BYTES + body.length);
  frame.writeUInt32BE(id);
  frame.set(body, ID_BYTES);
  return frame;
}

function seat(origin: URL, query: Record<string, string>, kind: MessageEvent["kind"]): Seat {
  const url = new URL(`?${new URLSearchParams(query)}`, origin);
  url.protocol = "ws:";
  return {
    url: url.href,
    read(frame) {
      if (typeof frame === "string") throw new Error(`unexpected text frame: ${frame}`);
      return { events: [{ kind, id: Buffer.from(frame.buffer, frame.byteOffset, frame.length).readUInt32BE() }] };
    },
  };
}
