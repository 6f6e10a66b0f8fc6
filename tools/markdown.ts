/** The shell commands of a page, a block each: what stands between ```sh and ```. */
export function shellBlocks(page: string): readonly string[] {
  return [...page.matchAll(/^```sh\n(.*?)^```$/gms)].map(([, block = '']) => block);
}
