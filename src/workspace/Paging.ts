/** Which part of a list is wanted. */
export interface Page {
  /** The first is 0. */
  readonly page: number
  /** {@link DEFAULT_PAGE_SIZE} when it is not positive. */
  readonly perPage: number
}

/** How many things a page has when its caller names no number (Mattermost). */
export const DEFAULT_PAGE_SIZE = 60

/** A page as SQL counts it. */
export const limitOf = ({ page, perPage }: Page): { readonly limit: number; readonly offset: number } => {
  const limit = perPage > 0 ? perPage : DEFAULT_PAGE_SIZE
  return { limit, offset: Math.max(0, page) * limit }
}
