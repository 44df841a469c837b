if ARGV.include?("--version")
  puts "app #{VERSION}"
  exit
end
if FAULT == "crash" && ENV["UNICORN_FD"]
  sleep 1
  exit 3
end

require "unicorn"

home = ARGV[0]
application = lambda do |_|
  body = %({"version":"#{VERSION}","pid":#{Process.pid}})
  [200, { "content-length" => body.bytesize.to_s, "content-type" => "application/json" }, [body]]
end
# HUP without a file of settings would execute the program again.
Unicorn::HttpServer.new(application, config_file: "#{home}/unicorn.rb").start.join
