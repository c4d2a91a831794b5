import { ByteSize, Option, Schema, SchemaTransformation } from "effect"

/** A size as operators write it, `8 MiB` say; what is none is answered by an example. */
export const sizeText = (example: string) => {
  const message = `expected a size such as "${example}"`
  const isSize = (text: string): boolean =>
    Option.exists(ByteSize.fromString(text), (size) => size > 0n && size <= BigInt(Number.MAX_SAFE_INTEGER))
  return Schema.String.annotate({ message })
    .check(Schema.makeFilter((text) => isSize(text) || message))
    .pipe(Schema.decodeTo(Schema.ByteSize, SchemaTransformation.byteSizeFromString))
}
