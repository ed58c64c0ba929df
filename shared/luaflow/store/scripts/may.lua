-- may: which commands the user of this connection may not use on the keys and channels of the namespace. A
-- script that meets such a command breaks off half way, so it is asked before there is work. Writes nothing.
-- KEYS meta
-- ARGV server channel commands...
-- Returns {'ok', the commands that are refused …}
redis.call('HLEN', meta_key)
local refused = { 'ok' }
for i = commands, #ARGV do
  local verb, sub = string.match(ARGV[i], '^(%u+) ?(%u*)$')
  local first = sub ~= '' and sub or (string.find(verb, 'PUBLISH') or string.find(verb, 'SUBSCRIBE')) and channel
    or meta_key
  -- a server that does not know a command has nothing to refuse
  local known, allowed = pcall(redis.acl_check_cmd, verb, first, meta_key)
  if known and not allowed then refused[#refused + 1] = ARGV[i] end
end
return refused
