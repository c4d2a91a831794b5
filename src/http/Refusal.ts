import { HttpServerResponse } from "effect/http"
import { errorStatus } from "../rpc/ErrorStatus.ts"
import { makeId } from "../workspace/Id.ts"

/** The longest text of an error, in characters: it may be of the client's making. */
export const MAX_TEXT = 1000

/** What a client is told of an error. */
export interface ErrorAnswer {
  readonly id: string
  readonly message: string
  /** 400–599; 500 stands for what is no error's status. */
  readonly statusCode: number
  readonly detailedError?: string | undefined
}

/** An error as Mattermost's clients read it, whoever answers it. `requestId` finds the log lines that belong to it. */
export const errorResponse = (
  { detailedError = "", id, message, statusCode }: ErrorAnswer,
  requestId: string,
  headers: { readonly [name: string]: string } = {},
): HttpServerResponse.HttpServerResponse => {
  const status = errorStatus(statusCode)
  return HttpServerResponse.jsonUnsafe(
    {
      id,
      message: message.slice(0, MAX_TEXT).toWellFormed(),
      detailed_error: detailedError,
      request_id: requestId,
      status_code: status,
    },
    { status, headers: { ...headers, "x-request-id": requestId } },
  )
}

/** An error of a request that has no id yet. */
export const refusal = (
  statusCode: number,
  id: string,
  message: string,
  headers: { readonly [name: string]: string } = {},
): HttpServerResponse.HttpServerResponse => errorResponse({ id, message, statusCode }, makeId(), headers)
