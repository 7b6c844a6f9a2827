# frozen_string_literal: true

# The name that agent files written for the Language Operator require.
require_relative "langop"
