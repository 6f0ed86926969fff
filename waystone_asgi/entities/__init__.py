"""Users, groups and the links between them: one module a store, behind `types.Entities`."""
