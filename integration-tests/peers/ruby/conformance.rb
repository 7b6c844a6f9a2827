# frozen_string_literal: true

# The tools that the protocol's conformance suite calls by name, declared with the Ruby SDK: what it finds about the server is true of
# every tool.

tool "test_simple_text" do
  description "Answers"
  read_only
  execute { "This is a simple text response for testing." }
end

tool "test_error_handling" do
  description "Fails"
  read_only
  execute { raise Langop::ToolError, "This tool intentionally returns an error for testing" }
end

tool "test_region" do
  description "Takes a parameter that is a header too"
  read_only
  parameter :region, type: :string, required: true, "x-mcp-header": "Region"
  execute { "done" }
end

# As the suite wants to find it again.
tool "json_schema_2020_12_tool" do
  description "Has a rich schema"
  input_schema(
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    type: "object",
    "$defs": { address: { "$anchor": "addressDef", type: "object",
                          properties: { street: { type: "string" }, city: { type: "string" } } } },
    properties: {
      name: { type: "string" }, address: { "$ref": "#/$defs/address" },
      contactMethod: { type: "string", enum: %w[phone email] }, phone: { type: "string" }, email: { type: "string" }
    },
    allOf: [{ anyOf: [{ required: ["phone"] }, { required: ["email"] }] }],
    if: { properties: { contactMethod: { const: "phone" } }, required: ["contactMethod"] },
    then: { required: ["phone"] },
    else: { required: ["email"] },
    additionalProperties: false
  )
  execute { "done" }
end
