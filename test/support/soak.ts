/** How often what is worth repeating is repeated. */

/** `npm run soak` sets it. */
const factor = process.env["SOAK"] === undefined ? undefined : Number(process.env["SOAK"])

/** How often something happens: `short` in `npm test`, `long` in `npm run soak` as it is, and by its factor of ten. */
export const rounds = (short: number, long: number): number =>
  factor === undefined ? short : Math.max(short, Math.ceil((long * factor) / 10))
