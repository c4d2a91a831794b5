import { Effect } from "effect"
import type { PluginApiError } from "../api/PluginApi.ts"
import { invalid } from "./WorkspaceError.ts"

/** Which part of a list is wanted. */
export interface Page {
  /** The first is 0. */
  readonly page: number
  /** {@link DEFAULT_PAGE_SIZE} when it is not positive. */
  readonly perPage: number
}

/** How many things a page has when its caller names no number (Mattermost). */
export const DEFAULT_PAGE_SIZE = 60

/**
 * A page as SQL counts it. One of more than `most` things is refused (400) rather than cut: a caller takes a page
 * that is not full for the last.
 */
export const limitOf = (
  { page, perPage }: Page,
  most: number,
): Effect.Effect<{ readonly limit: number; readonly offset: number }, PluginApiError> => {
  const limit = perPage > 0 ? perPage : DEFAULT_PAGE_SIZE
  return limit > most
    ? Effect.fail(tooMany("per_page", limit, most))
    : Effect.succeed({ limit, offset: Math.max(0, page) * limit })
}

/** The error (400) of a request for more things than `most`. */
export const tooMany = (field: string, count: number, most: number): PluginApiError =>
  invalid("api.context.invalid_body_param.app_error", `${field} is ${count}, and may be ${most} at most`)
