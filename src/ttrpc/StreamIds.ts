/** One more than the largest id of a stream. */
const IDS = 2 ** 32

/**
 * The id of a client's next stream: they are odd and grow. After two thousand million calls, which is a month of a
 * thousand a second, they begin again. Containerd's server does not know that; ours do.
 */
export const nextId = (last: number | undefined): number => (last === undefined ? 1 : (last + 2) % IDS)

/** Whether an id comes after another one, of which it is less than half of all ids away. */
export const isLater = (id: number, last: number | undefined): boolean => {
  if (last === undefined) return true
  const distance = (id - last + IDS) % IDS
  return distance > 0 && distance < IDS / 2
}
