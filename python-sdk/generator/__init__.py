"""Makes the SDK's sources of the contract: descriptors, models, hooks and clients."""
