-- The health of any langop.io object, for Argo CD: from what kstatus reads (observedGeneration, Stalled, Reconciling, Ready), so that
-- both say the same. Knows no kind; an agent that is suspended says so in the reason of Ready. Argo CD's Lua is 5.1 with few libraries.
local status = obj.status or {}
local conditions = {}
for _, condition in ipairs(status.conditions or {}) do
  conditions[condition.type] = condition
end

local function is_true(name)
  return conditions[name] ~= nil and conditions[name].status == "True"
end

local function health(word, name)
  local condition = conditions[name]
  return { status = word, message = condition.reason .. ": " .. condition.message }
end

if status.observedGeneration ~= obj.metadata.generation then
  return { status = "Progressing", message = "the operator has not looked at this generation yet" }
elseif is_true("Stalled") then
  return health("Degraded", "Stalled")
elseif is_true("Reconciling") then
  return health("Progressing", "Reconciling")
elseif is_true("Ready") and conditions.Ready.reason == "Suspended" then
  return health("Suspended", "Ready")
elseif is_true("Ready") then
  return health("Healthy", "Ready")
end
return { status = "Progressing", message = "not Ready yet" }
