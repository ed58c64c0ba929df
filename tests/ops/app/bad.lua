local function main()
    return nil, errors.new({ kind = errors.UNAVAILABLE, message = "no", retryable = true })
end

return { main = main }
