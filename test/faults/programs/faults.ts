/** What the plugins of `peer.ts` do that plugins should not, by name. */
import { escapeFaults } from "./escapeFaults.ts"
import type { Fault } from "./fault.ts"
import { floodFaults } from "./floodFaults.ts"
import { hookFaults } from "./hookFaults.ts"
import { offerFaults } from "./offerFaults.ts"
import { startFaults } from "./startFaults.ts"
import { wireFaults } from "./wireFaults.ts"

/** `well` has no fault. */
export const faults = {
  well: {},
  ...startFaults,
  ...hookFaults,
  ...offerFaults,
  ...floodFaults,
  ...escapeFaults,
  ...wireFaults,
} satisfies { readonly [fault: string]: Fault }
