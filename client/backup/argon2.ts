/** WebAssembly, loaded only when a passphrase is used; a file of its own, so that no other hash function comes with it. */
export { argon2id } from "hash-wasm";
