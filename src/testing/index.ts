/**
 * `effect-plugin-supervisor/testing`: what tests of a backend put in place of plugins. Every service has a `layerTest`
 * of its own beside it; here is the plugin that is none.
 */
export * as FakePlugin from "./FakePlugin.ts"
export { type AnyHookHandlers, testClient } from "../hooks/Hooks.ts"
