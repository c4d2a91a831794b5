import { Schema } from "effect"

/**
 * What goes along with a call beside its messages, either way: by lower-case key, bytes where the key ends in `-bin`
 * and printable ASCII elsewhere. Of a key that comes several times texts are joined by `, `, and of bytes the first
 * count.
 */
export const Metadata: Schema.$Record<
  Schema.String,
  Schema.Union<readonly [Schema.String, Schema.Uint8Array]>
> = Schema.Record(Schema.String, Schema.Union([Schema.String, Schema.Uint8Array]))
export type Metadata = typeof Metadata.Type

/** No metadata. */
export const noMetadata: Metadata = {}

/** The key of a `google.rpc.Status` message, which says more of an error than its code and text. */
export const STATUS_DETAILS = "grpc-status-details-bin"
