import * as v from "valibot";

/**
 * A record of the store: what JSON can say, and bytes beside it.
 *
 *     u32 header length | header: JSON { fields, lengths } | bytes one behind the other
 */
export function encodeRecord(fields: object, blobs: readonly Uint8Array[] = []): Uint8Array {
  const header = new TextEncoder().encode(JSON.stringify({ fields, lengths: blobs.map((blob) => blob.byteLength) }));
  const size = blobs.reduce((sum, blob) => sum + blob.byteLength, 4 + header.byteLength);
  const record = new Uint8Array(size);
  new DataView(record.buffer).setUint32(0, header.byteLength);
  record.set(header, 4);
  let at = 4 + header.byteLength;
  for (const blob of blobs) {
    record.set(blob, at);
    at += blob.byteLength;
  }
  return record;
}

/** @throws if it is none, or its fields are not what the schema says: the store was written by something else */
export function decodeRecord<Schema extends v.GenericSchema>(
  schema: Schema,
  record: Uint8Array,
): { readonly fields: v.InferOutput<Schema>; readonly blobs: Uint8Array[] } {
  const end = 4 + new DataView(record.buffer, record.byteOffset, record.byteLength).getUint32(0);
  const header = v.parse(Header, JSON.parse(new TextDecoder().decode(record.subarray(4, end))));
  let at = end;
  const blobs = header.lengths.map((length) => {
    at += length;
    return record.slice(at - length, at);
  });
  return { fields: v.parse(schema, header.fields), blobs };
}

const Header = v.object({ fields: v.unknown(), lengths: v.array(v.number()) });
