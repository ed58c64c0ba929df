---@meta

---The entries of the app, as its YAML files have them. They do not change while code runs: there is one
---version, and what would change entries returns Unavailable; `luaflow deploy` brings new ones.
---@class registry
local registry = {}

---An entry: `id`, `kind`, `meta`, `data`.
---
---Workflows: forbidden.
---@param id string
---@return {id: string, kind: string, meta: table, data: table}? entry
---@return Error? err
---
---```lua
---local entry = registry.get("app:price")
---entry.kind, entry.meta.type, entry.data.amount --> "registry.entry", "price", 5
---registry.get("app:nobody") --> nil, NotFound
---registry.get("") --> nil, Invalid
---```
function registry.get(id) end

---The entries that meet all conditions, by id. A key is `.kind`, `.ns`, `.name` or `meta.<field>`; in front
---of it may stand `~` for a regular expression, `*` for a part, `^` for how the value begins, `$` for how
---it ends. Other keys are ignored, with a warning in the log.
---
---Workflows: forbidden.
---@param filter? table
---@return {id: string, kind: string, meta: table, data: table}[]? entries
---@return Error? err
---
---```lua
---#registry.find({[".kind"] = "registry.entry"}) --> 2
---registry.find({["meta.type"] = "price"})[1].id --> "app:price"
---registry.find({["^meta.type"] = "disc"})[1].id --> "app:reduction"
---#registry.find({[".ns"] = "nowhere"}) --> 0
---registry.find(7) --> nil, Invalid
---registry.find({["~meta.type"] = "("}) --> nil, Invalid
---```
function registry.find(filter) end

---The namespace and the name of an id.
---
---Workflows: forbidden.
---@param id string
---@return {ns: string, name: string}? parts
---@return Error? err
---
---```lua
---registry.parse_id("app.shop:price") --> {ns = "app.shop", name = "price"}
---registry.parse_id("price") --> {ns = "", name = "price"}
---registry.parse_id("") --> nil, Invalid
---```
function registry.parse_id(id) end

---The entries as they are.
---
---Workflows: forbidden.
---@return registry.Snapshot snapshot
---
---```lua
---registry.snapshot():get("app:price").id --> "app:price"
---```
function registry.snapshot() end

---The entries as they were in a version.
---
---Workflows: forbidden.
---@param version registry.Version|integer
---@return registry.Snapshot? snapshot
---@return Error? err
---
---```lua
---registry.snapshot_at(1):get("app:price").id --> "app:price"
---registry.snapshot_at(2) --> nil, NotFound
---registry.snapshot_at("x") --> nil, Invalid
---```
function registry.snapshot_at(version) end

---The version of the entries, which is 1.
---
---Workflows: forbidden.
---@return registry.Version version
---
---```lua
---registry.current_version():id() --> 1
---```
function registry.current_version() end

---All versions there are.
---
---Workflows: forbidden.
---@return registry.Version[] versions
---
---```lua
---#registry.versions() --> 1
---```
function registry.versions() end

---The versions, to look into.
---
---Workflows: forbidden.
---@return registry.History history
---
---```lua
---#registry.history():versions() --> 1
---```
function registry.history() end

---Would go to another version: refused with Unavailable.
---
---Workflows: forbidden.
---@param version registry.Version|integer
---@return nil
---@return Error? err
---
---```lua
---registry.apply_version(1) --> nil, Unavailable
---registry.apply_version(2) --> nil, NotFound
---select(2, registry.apply_version(1)):retryable() --> false
---```
function registry.apply_version(version) end

---What leads from one list of entries to another: a list of {kind, entry}, the kinds are `entry.create`,
---`entry.update` and `entry.delete`.
---
---Workflows: forbidden.
---@param from table[]
---@param to table[]
---@return {kind: string, entry: table}[]? changes
---@return Error? err
---
---```lua
---registry.build_delta({{id = "a:x"}}, {{id = "a:y"}}) --> {{kind = "entry.create", entry = {id = "a:y"}}, {kind = "entry.delete", entry = {id = "a:x"}}}
---registry.build_delta({{id = "a:x", kind = "k"}}, {{id = "a:x", kind = "l"}})[1].kind --> "entry.update"
---registry.build_delta(7, {}) --> nil, Invalid
---registry.build_delta({}, {{}}) --> nil, Invalid
---```
function registry.build_delta(from, to) end

---A version of the entries.
---@class registry.Version
local Version = {}

---Its number.
---
---Workflows: forbidden.
---@return integer id
---
---```lua
---registry.current_version():id() --> 1
---```
function Version:id() end

---Its name.
---
---Workflows: forbidden.
---@return string name
---
---```lua
---registry.current_version():string() --> "v1"
---```
function Version:string() end

---The version before it; there is none.
---
---Workflows: forbidden.
---@return registry.Version? version
---
---```lua
---registry.current_version():previous() --> nil
---```
function Version:previous() end

---The version after it; there is none.
---
---Workflows: forbidden.
---@return registry.Version? version
---
---```lua
---registry.current_version():next() --> nil
---```
function Version:next() end

---Entries at one time.
---@class registry.Snapshot
local Snapshot = {}

---All of them.
---
---Workflows: forbidden.
---@return {id: string, kind: string, meta: table, data: table}[]? entries
---@return Error? err
---
---Proof: tests/modules/test_registry.py::test_registry
---```lua
---#registry.snapshot():entries() == #registry.find({}) --> true
---```
function Snapshot:entries() end

---`registry.get`, of this snapshot.
---
---Workflows: forbidden.
---@param id string
---@return {id: string, kind: string, meta: table, data: table}? entry
---@return Error? err
---
---```lua
---registry.snapshot():get("app:price").data.amount --> 5
---registry.snapshot():get("app:nobody") --> nil, NotFound
---```
function Snapshot:get(id) end

---`registry.find`, of this snapshot.
---
---Workflows: forbidden.
---@param filter? table
---@return {id: string, kind: string, meta: table, data: table}[]? entries
---@return Error? err
---
---```lua
---#registry.snapshot():find({["meta.type"] = "price"}) --> 1
---registry.snapshot():find(7) --> nil, Invalid
---```
function Snapshot:find(filter) end

---The entries of a namespace.
---
---Workflows: forbidden.
---@param namespace string
---@return {id: string, kind: string, meta: table, data: table}[] entries
---
---```lua
---#registry.snapshot():namespace("app") > 0 --> true
---#registry.snapshot():namespace("nowhere") --> 0
---```
function Snapshot:namespace(namespace) end

---Its version.
---
---Workflows: forbidden.
---@return registry.Version version
---
---```lua
---registry.snapshot():version() == registry.current_version() --> true
---```
function Snapshot:version() end

---A list of changes, empty: code that plans changes can be tried, but not applied.
---
---Workflows: forbidden.
---@return registry.Changes changes
---
---```lua
---#registry.snapshot():changes():ops() --> 0
---```
function Snapshot:changes() end

---The versions there are.
---@class registry.History
local History = {}

---All of them.
---
---Workflows: forbidden.
---@return registry.Version[] versions
---
---```lua
---registry.history():versions()[1]:id() --> 1
---```
function History:versions() end

---One of them, by its number.
---
---Workflows: forbidden.
---@param version integer
---@return registry.Version? version
---@return Error? err
---
---```lua
---registry.history():get_version(1):string() --> "v1"
---registry.history():get_version(2) --> nil, NotFound
---registry.history():get_version("x") --> nil, Invalid
---```
function History:get_version(version) end

---The same as `registry.snapshot_at`.
---
---Workflows: forbidden.
---@param version registry.Version|integer
---@return registry.Snapshot? snapshot
---@return Error? err
---
---```lua
---registry.history():snapshot_at(1):get("app:price").id --> "app:price"
---registry.history():snapshot_at(2) --> nil, NotFound
---```
function History:snapshot_at(version) end

---Changes of entries, in order. Its methods that add one return it, to go on with.
---@class registry.Changes
local Changes = {}

---Add a new entry.
---
---Workflows: forbidden.
---@param entry table
---@return registry.Changes changes
---
---```lua
---local changes = registry.snapshot():changes()
---changes:create({id = "app:new", kind = "registry.entry"}):ops()[1].kind --> "entry.create"
---changes:create({}) --> raises "needs an id"
---```
function Changes:create(entry) end

---Add another form of an entry.
---
---Workflows: forbidden.
---@param entry table
---@return registry.Changes changes
---
---```lua
---local changes = registry.snapshot():changes()
---changes:update({id = "app:price"}):ops()[1].kind --> "entry.update"
---changes:update("app:price") --> raises "needs an id"
---```
function Changes:update(entry) end

---Add the end of an entry: by its id, or a table with `id` or with `ns` and `name`.
---
---Workflows: forbidden.
---@param entry string|table
---@return registry.Changes changes
---
---```lua
---local changes = registry.snapshot():changes()
---changes:delete("app:price"):ops()[1] --> {kind = "entry.delete", entry = {id = "app:price"}}
---changes:delete({ns = "app", name = "price"}):ops()[2].entry.id --> "app:price"
---changes:delete(7) --> raises "needs an id"
---```
function Changes:delete(entry) end

---The changes: a list of {kind, entry}.
---
---Workflows: forbidden.
---@return {kind: string, entry: table}[] changes
---
---```lua
---#registry.snapshot():changes():delete("app:price"):ops() --> 1
---```
function Changes:ops() end

---Would apply them: refused with Unavailable.
---
---Workflows: forbidden.
---@return nil
---@return Error? err
---
---```lua
---registry.snapshot():changes():delete("app:price"):apply() --> nil, Unavailable
---registry.snapshot():changes():apply() --> nil, Invalid
---select(2, registry.snapshot():changes():delete("app:price"):apply()):retryable() --> false
---```
function Changes:apply() end

return registry
