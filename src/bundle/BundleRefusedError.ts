import { Schema } from "effect"
import { printable } from "./EntryName.ts"

/** An archive, or a folder, that no plugin is installed from, or packed from. Nothing of it was kept. */
export class BundleRefusedError extends Schema.TaggedError<BundleRefusedError>()("BundleRefusedError", {
  /** The archive's file, the folder, or what a stream of bytes is called. */
  source: Schema.String,
  /**
   * What it is about: an entry's `path` or `type`; names that are one (`same`); a `limit`; an archive that is `broken`; where
   * the plugin is in it (`root`); or what has nothing to do with the archive: its `source`, or the `disk`.
   */
  kind: Schema.Literals(["path", "type", "same", "limit", "broken", "root", "source", "disk"]),
  /** The entry, as a message may quote it; empty for the archive as a whole. */
  entry: Schema.String,
  /** What is wrong, and what to do about it. */
  reason: Schema.String,
}) {
  override get message(): string {
    return `${this.source} can't be taken: ${this.entry === "" ? "it" : this.entry} ${this.reason}`
  }
}

/** Why nothing is installed, before it is known from what. */
export class Refusal extends Error {
  readonly kind: BundleRefusedError["kind"]
  readonly entry: string
  constructor(kind: BundleRefusedError["kind"], reason: string, entry?: string) {
    super(reason)
    this.kind = kind
    this.entry = entry === undefined ? "" : printable(entry)
  }
}

/** The error that others see. */
export const refused = (source: string, cause: unknown): BundleRefusedError =>
  cause instanceof Refusal
    ? new BundleRefusedError({ source, kind: cause.kind, entry: cause.entry, reason: cause.message })
    : new BundleRefusedError({
        source,
        kind: "disk",
        entry: "",
        reason: `can't be stored: ${cause instanceof Error ? cause.message : String(cause)}`,
      })
