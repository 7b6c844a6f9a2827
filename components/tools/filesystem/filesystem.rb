# frozen_string_literal: true

# Files of a workspace: an example of the SDK beside the reference tool, with the same operations and names. Nothing leads out of the root:
# a path is resolved, symbolic links included, before it is used. Unlike the reference tool, whose root is a handle, it does not guard
# against somebody else who swaps a folder for a link in between.

require "fileutils"
require "find"

ROOT = File.realpath(ENV.fetch("WORKSPACE_PATH", "/workspace"))
# Largest file that is read or written, in bytes, and most files that are listed or found.
MAX_BYTES = 1024 * 1024
MAX_FILES = 1000

# The place that a path names below the root. What is not there yet is judged by the folder it would be in.
place = lambda do |path|
  wanted = File.expand_path(path, ROOT)
  existing = wanted
  existing = File.dirname(existing) until File.exist?(existing) || File.symlink?(existing)
  real = File.realpath(existing) + wanted.delete_prefix(existing)
  raise Langop::ToolError, "'#{path}' leads out of the workspace" unless real == ROOT || real.start_with?("#{ROOT}/")

  real
rescue Errno::ENOENT, Errno::ELOOP, Errno::EACCES
  raise Langop::ToolError, "'#{path}' is a link that leads nowhere"
end

shown = ->(real) { real.delete_prefix(ROOT).delete_prefix("/").then { |path| path.empty? ? "." : path } }

file = lambda do |path|
  real = place.call(path)
  raise Langop::ToolError, "'#{path}' is no file" unless File.file?(real)
  raise Langop::ToolError, "'#{path}' has more than #{MAX_BYTES} bytes" if File.size(real) > MAX_BYTES

  real
end

folder = lambda do |path|
  real = place.call(path)
  raise Langop::ToolError, "'#{path}' is no folder" unless File.directory?(real)

  real
end

# A file in the form that a model can read.
text = lambda do |path|
  content = File.binread(file.call(path)).force_encoding(Encoding::UTF_8)
  raise Langop::ToolError, "'#{path}' is no text" unless content.valid_encoding?

  content
end

tool "list_files" do
  description "Lists the files and folders in a folder, with their sizes"
  parameter :path, type: :string, default: ".", description: "The folder, below the workspace"
  read_only
  execute do |params|
    within = folder.call(params[:path])
    entries = Dir.children(within).sort.first(MAX_FILES).map do |name|
      entry = File.join(within, name)
      File.directory?(entry) ? "#{name}/" : "#{name} (#{File.lstat(entry).size} bytes)"
    end
    entries.empty? ? "(empty)" : entries.join("\n")
  end
end

tool "read_file" do
  description "Reads a text file"
  parameter :path, type: :string, required: true
  read_only
  execute { |params| text.call(params[:path]) }
end

tool "write_file" do
  description "Writes a text file, making folders as needed; what was there is replaced"
  parameter :path, type: :string, required: true
  parameter :content, type: :string, required: true, maxLength: MAX_BYTES
  idempotent
  execute do |params|
    real = place.call(params[:path])
    raise Langop::ToolError, "'#{params[:path]}' is a folder" if File.directory?(real)

    FileUtils.mkdir_p(File.dirname(real))
    # Elsewhere first, so that it is there whole or not at all.
    temporary = "#{real}.#{Process.pid}.#{Thread.current.object_id}.new"
    File.write(temporary, params[:content])
    File.rename(temporary, real)
    "wrote #{params[:content].bytesize} bytes to #{shown.call(real)}"
  end
end

tool "delete_file" do
  description "Deletes a file"
  parameter :path, type: :string, required: true
  idempotent
  execute do |params|
    real = place.call(params[:path])
    raise Langop::ToolError, "'#{params[:path]}' is no file" if File.directory?(real)

    File.exist?(real) ? File.delete(real) && "deleted #{shown.call(real)}" : "there is no #{shown.call(real)}"
  end
end

tool "search_files" do
  description "Finds lines that hold a text, in all text files below a folder"
  parameter :text, type: :string, required: true
  parameter :path, type: :string, default: "."
  read_only
  execute do |params|
    found = Find.find(folder.call(params[:path])).lazy.select { |path| File.file?(path) && !File.symlink?(path) && File.size(path) <= MAX_BYTES }
    lines = found.flat_map do |path|
      content = File.read(path, encoding: Encoding::UTF_8)
      next [] unless content.valid_encoding?

      content.lines.each_with_index.filter_map { |line, at| "#{shown.call(path)}:#{at + 1}: #{line.chomp}" if line.include?(params[:text]) }
    end
    lines = lines.first(MAX_FILES)
    lines.empty? ? "(nothing)" : lines.join("\n")
  end
end
