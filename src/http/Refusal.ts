import { HttpServerResponse } from "effect/http"

/** An error as Mattermost's REST API words it. */
export const refusal = (
  status: number,
  id: string,
  message: string,
  headers: { readonly [name: string]: string } = {},
): HttpServerResponse.HttpServerResponse =>
  HttpServerResponse.jsonUnsafe({ id, message, status_code: status }, { status, headers })
