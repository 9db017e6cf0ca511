/** A list of 2,048 words comes with it: loaded only when a code is made or typed. */
export { entropyToMnemonic, mnemonicToEntropy } from "@scure/bip39";
export { wordlist } from "@scure/bip39/wordlists/english.js";
