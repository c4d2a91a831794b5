import type { DescMethod } from "@bufbuild/protobuf"

/** A business error, as both sides of a contract have it. */
export interface BusinessError {
  /** A stable name that others branch on, for example `app.user.missing_account.const`. */
  readonly id: string
  /** What happened, for people. */
  readonly message: string
  /** An HTTP status, 400–599; anything else counts as 500. */
  readonly statusCode: number
  /** The operation that failed. */
  readonly where?: string | undefined
  /** More for a developer. */
  readonly detailedError?: string | undefined
}

/** How business errors travel inside a contract's responses. Where they can't they are statuses. */
export interface BusinessErrors {
  /** The error that a hook's response carries; undefined where it says that all went well. */
  readonly ofHook: (response: object) => BusinessError | undefined
  /**
   * Whether such an error of a hook that decides is the plugin's refusal, or says that the plugin could not decide: its
   * handler has failed.
   */
  readonly isRefusal: (error: BusinessError) => boolean
  /** The response of the host API that carries an error; undefined for a method whose response has no place for one. */
  readonly ofApi: (method: DescMethod, error: BusinessError) => object | undefined
}
