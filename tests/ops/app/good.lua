local function main()
    return "good"
end

return { main = main }
