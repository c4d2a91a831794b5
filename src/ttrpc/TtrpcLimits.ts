/** The most data of a frame that ttrpc allows, in bytes (containerd's ttrpc 1.2, `messageLengthMax`). */
export const PROTOCOL_FRAME_SIZE: number = 4 * 1024 * 1024

/**
 * A frame that claims more data than this, in bytes, is none. It is 512 MiB, above which the first byte of a header is one
 * of a text: somebody writes something else to the connection.
 */
export const MAX_SKIPPED: number = 512 * 1024 * 1024

/**
 * How much may wait to be written to a connection, in bytes, before calls wait for their turn and a server takes no more
 * requests. What is under way then comes on top.
 */
export const WRITE_WINDOW: number = 1024 * 1024

/** Messages of one stream that wait for their reader, as containerd's ttrpc has it. */
export const STREAM_WINDOW = 64

/**
 * How long a connection waits for the reader of a stream that has received all that may wait for it, in milliseconds. The
 * other calls of the connection wait meanwhile, so that the stream fails after it.
 */
export const STREAM_PATIENCE = 1000

/** How long what is on its way may still be written when a connection is closed by this side, in milliseconds. */
export const CLOSE_GRACE = 500

/** Entries of metadata that are taken with a call, as many as Node takes headers over gRPC. */
export const MAX_METADATA_ENTRIES = 128

/** What a frame may have beside its message: names, a deadline, and metadata; in bytes. */
const ENVELOPE_SIZE = 64 * 1024

/** The largest frame between host and plugin, where they agree on more than the protocol's, by the largest message. */
export const frameSizeFor = (maxMessageSize: number): number => maxMessageSize + ENVELOPE_SIZE
