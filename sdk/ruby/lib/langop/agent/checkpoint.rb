# frozen_string_literal: true

require "fileutils"
require "json"
require "time"

module Langop
  module Agent
    # What survives the process: the state of the run under way, in the workspace, in the format of the
    # reference runtime, so that either goes on where the other ended. Written whole to another file,
    # synced, renamed, synced; a lock held for the life of the process keeps a second replica away.
    # Whatever is wrong with it is a warning: no run ends for want of a checkpoint.
    class Checkpoint
      # Of what is written. A newer one is not read.
      VERSION = 1
      # Most files that could not be used and are kept for people.
      MAX_BAD = 3
      # Largest state that is read.
      MAX_BYTES = 64 * 1024 * 1024

      # @return [Hash, nil] what an earlier process saved
      attr_reader :saved

      # @param workspace [String, nil] nil: nothing survives
      # @param agent [String] its name
      # @param code_hash [String] a state of other code is of no use
      def initialize(workspace, agent, code_hash, log:, metrics:)
        @log = log
        @metrics = metrics
        @mutex = Mutex.new
        @state = {}
        return unless workspace

        open(File.join(workspace, ".langop", agent.gsub(/[^A-Za-z0-9_-]/, "-")))
        @saved = load(code_hash) if @folder
        @state = @saved.dup if @saved
      end

      # Begins a new run, or goes on with one that was saved.
      # @param state [Hash]
      def begin(state) = update { |current| current.replace(state.merge("version" => VERSION)) }

      # Changes the state and writes it. When this returns it is on the disk, or a warning was logged.
      # @yield [Hash] the state
      def update
        return unless @folder

        @mutex.synchronize do
          yield @state
          save
        end
      rescue SystemCallError => e
        @metrics.checkpoint_error
        @log.warn("the checkpoint could not be written; going on without", error: e.message)
      end

      private

      def open(folder)
        FileUtils.mkdir_p(folder, mode: 0o700)
        @lock = File.open(File.join(folder, "lock"), File::RDWR | File::CREAT, 0o600)
        return @folder = folder if @lock.flock(File::LOCK_EX | File::LOCK_NB)

        @log.warn("another replica holds the checkpoint; this one runs without")
      rescue SystemCallError => e
        @metrics.checkpoint_error
        @log.warn("there is no checkpoint; runs do not survive a restart", error: e.message)
      end

      def path = File.join(@folder, "state.json")

      # What is saved, if it is of this code and format. Anything else is set aside.
      def load(code_hash)
        return unless File.exist?(path)

        problem = "it is too large" if File.size(path) > MAX_BYTES
        state = JSON.parse(File.read(path, encoding: Encoding::UTF_8)) unless problem
        problem ||= misfit(state, code_hash)
        return state unless problem

        set_aside(problem)
      rescue JSON::ParserError
        set_aside("it cannot be read")
      rescue SystemCallError => e
        set_aside(e.message)
      end

      def misfit(state, code_hash)
        return "it cannot be read" unless state.is_a?(Hash) && whole?(state)
        return "it is of format #{state["version"]}" if state["version"] != VERSION

        "it is of other code" if state["codeHash"] != code_hash
      end

      def whole?(state)
        lists = state.values_at("steps", "messages").compact
        lists.all? { |list| list.is_a?(Array) && list.all?(Hash) } && [nil, Hash].any? { |kind| kind === state["intents"] }
      end

      def set_aside(problem)
        @log.warn("the checkpoint is set aside: #{problem}")
        bad = ->(number) { File.join(@folder, "state.bad-#{number}") }
        (1...MAX_BAD).reverse_each { |number| File.rename(bad.call(number), bad.call(number + 1)) if File.exist?(bad.call(number)) }
        File.rename(path, bad.call(1))
        nil
      rescue SystemCallError => e
        @log.warn("it could not be set aside and will be overwritten", error: e.message)
        nil
      end

      def save
        temporary = File.join(@folder, "state.json.new")
        File.open(temporary, File::WRONLY | File::CREAT | File::TRUNC, 0o600) do |file|
          file.write(JSON.generate(@state))
          file.flush
          file.fsync
        end
        File.rename(temporary, path)
        File.open(@folder, &:fsync)
      end
    end
  end
end
