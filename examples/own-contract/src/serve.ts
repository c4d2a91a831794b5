/** For `plugin-supervisor serve --backend`: the plugins by themselves, to write and try some without the backend's own business. */
import { api } from "./backend.ts"
import { BillingPlugins } from "./Billing.ts"

// The contract's Python package is in the environment of every plugin that is written in Python.
export default { host: BillingPlugins, api, pythonPackages: ["../billing-plugin"] }
