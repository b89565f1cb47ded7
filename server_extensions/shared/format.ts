/** How quantities are written for people. */

const UNITS: [string, number][] = [
  ['TB', 1e12],
  ['GB', 1e9],
  ['MB', 1e6],
  ['kB', 1e3]
];

/** `12.3 MB`. */
export function bytes(count: number): string {
  const [unit, size] = UNITS.find(([, least]) => count >= least) ?? ['bytes', 1];
  return `${(count / size).toLocaleString(undefined, { maximumFractionDigits: 1 })} ${unit}`;
}

/** `1,234,567 rows`. */
export function count(number: number, one: string, many: string): string {
  return `${number.toLocaleString()} ${number === 1 ? one : many}`;
}
