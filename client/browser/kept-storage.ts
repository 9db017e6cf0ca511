/**
 * Asks the browser to keep what is stored here when the disk gets full; else it may delete all of it. Best asked once somebody
 * has signed in: some browsers ask the person, others look at how much the site is used.
 * @returns whether it will
 */
export function askToKeepStorage(): Promise<boolean> {
  return navigator.storage.persist();
}
