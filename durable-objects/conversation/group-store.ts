import type { Seq } from "../../shared/ids.ts";
import type { Stored } from "../../shared/rpc.ts";
import type { SqlRow, SqlValue, Storage } from "../runtime/storage.ts";
import type { Leaf } from "./roster.ts";

/** The group as it stands after its last commit. */
export interface Group {
  /** Where that commit stands. */
  readonly seq: Seq;
  readonly leaves: readonly Leaf[];
  /** What somebody needs to join without help. */
  readonly groupInfo: Stored;
  readonly tree: Stored;
}

/** What belongs to one commit and does not stand in the log, each as far as there is any. */
export interface Epoch {
  readonly seq: Seq;
  readonly commit: Stored | null;
  readonly welcome: Stored | null;
  readonly tree: Stored | null;
}

/** Columns without a type: bytes, or the name of a file. */
export function createGroupTables(storage: Storage): void {
  storage.run(
    "CREATE TABLE mls_group (id INTEGER PRIMARY KEY, seq INTEGER NOT NULL, leaves TEXT NOT NULL, info NOT NULL, tree NOT NULL)",
  );
  storage.run("CREATE TABLE mls_epoch (seq INTEGER PRIMARY KEY, commit_body, welcome, tree)");
}

/** The MLS group's SQL: one row for the group, one for each commit that brought a Welcome or was too large for the log. */
export class GroupStore {
  readonly #storage: Storage;

  constructor(storage: Storage) {
    this.#storage = storage;
  }

  group(): Group | undefined {
    const [row] = this.#storage.all<GroupRow>("SELECT seq, leaves, info, tree FROM mls_group");
    if (!row) return undefined;
    const { seq, leaves, info, tree } = row;
    return { seq, leaves: unpackLeaves(leaves), groupInfo: info, tree };
  }

  saveGroup({ seq, leaves, groupInfo, tree }: Group): void {
    const insert = "INSERT OR REPLACE INTO mls_group (id, seq, leaves, info, tree) VALUES (1, ?, ?, ?, ?)";
    this.#storage.run(insert, seq, packLeaves(leaves), groupInfo, tree);
  }

  epoch(seq: Seq): Epoch | undefined {
    return this.#epochs("WHERE seq = ?", seq)[0];
  }

  addEpoch({ seq, commit, welcome, tree }: Epoch): void {
    const insert = "INSERT INTO mls_epoch (seq, commit_body, welcome, tree) VALUES (?, ?, ?, ?)";
    this.#storage.run(insert, seq, commit, welcome, tree);
  }

  /** @returns what was there */
  dropEpochsBefore(seq: Seq): Epoch[] {
    const dropped = this.#epochs("WHERE seq < ?", seq);
    if (dropped.length > 0) this.#storage.run("DELETE FROM mls_epoch WHERE seq < ?", seq);
    return dropped;
  }

  /** What names everybody who was in the group then; commits stay, for without them nobody can go on. @returns what was there */
  dropTreesBefore(seq: Seq): Epoch[] {
    const dropped = this.#epochs("WHERE seq < ? AND tree IS NOT NULL", seq);
    this.#storage.run("DELETE FROM mls_epoch WHERE seq < ? AND commit_body IS NULL", seq);
    this.#storage.run("UPDATE mls_epoch SET welcome = NULL, tree = NULL WHERE seq < ? AND tree IS NOT NULL", seq);
    return dropped;
  }

  #epochs(where: string, ...params: SqlValue[]): Epoch[] {
    const columns = "seq, commit_body AS 'commit', welcome, tree";
    return this.#storage.all<Epoch & SqlRow>(`SELECT ${columns} FROM mls_epoch ${where} ORDER BY seq`, ...params);
  }
}

interface GroupRow extends SqlRow {
  seq: Seq;
  leaves: string;
  info: Stored;
  tree: Stored;
}

/** Of a large group there are thousands, so each is only as long as it has to be: 0 is nobody's. */
type PackedLeaf = [user: string, device: string] | 0 | null;

function packLeaves(leaves: readonly Leaf[]): string {
  const packed = leaves.map((leaf): PackedLeaf => {
    if (leaf === null) return null;
    return leaf === "nobody" ? 0 : [leaf.user, leaf.device];
  });
  return JSON.stringify(packed);
}

function unpackLeaves(text: string): Leaf[] {
  return (JSON.parse(text) as PackedLeaf[]).map((packed) => {
    if (packed === null) return null;
    return packed === 0 ? "nobody" : { user: packed[0], device: packed[1] };
  });
}
