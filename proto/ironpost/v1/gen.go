package ironpostv1

//go:generate protoc -I ../.. --plugin=protoc-gen-go=../../../.ci/protoc-gen-go --plugin=protoc-gen-go-grpc=../../../.ci/protoc-gen-go-grpc --go_out=../.. --go_opt=paths=source_relative --go-grpc_out=../.. --go-grpc_opt=paths=source_relative ironpost/v1/event.proto ironpost/v1/plugin.proto ironpost/v1/control.proto
