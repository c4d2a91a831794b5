import { Flag } from "effect/cli"
import { VARIABLES } from "../command/Variables.ts"

/** Where a command that is a host of its own has its token. */
export const tokenFlag = Flag.String("token-file").pipe(
  Flag.withDescription(
    `File with the token; made with one, for its user only, when it is missing. Default: the token in ${VARIABLES.accessToken}, or one made for the run`,
  ),
  Flag.optional,
)
