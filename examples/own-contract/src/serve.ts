/** For `plugin-supervisor serve --backend`: the plugins by themselves, to write and try some without the backend's own business. */
import { api } from "./backend.ts"
import { BillingPlugins } from "./Billing.ts"

export default { host: BillingPlugins, api }
