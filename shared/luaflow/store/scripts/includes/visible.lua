-- The index of runs: field 0x00 value 0x00 inverted start time 0x00 run id (design 4).
local function vis_member(field, value, start)
  return table.concat({ field, value, string.format('%012x', 281474976710655 - start), run_id }, '\0')
end
