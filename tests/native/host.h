// A host for FFI handlers without XLA and without Python: buffers, attributes, a pool of threads, a call frame.
//
// Sanitizers and fuzzers see every line of ours and none of anybody else's, so that what they report is ours.
#ifndef EVENTOPS_TESTS_HOST_H_
#define EVENTOPS_TESTS_HOST_H_

#include <condition_variable>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "xla/ffi/api/c_api.h"

struct XLA_FFI_Error {
  std::string message;
  XLA_FFI_Error_Code code;
};

namespace host {

class Pool {
 public:
  explicit Pool(int n) {
    for (int i = 0; i < n; ++i) threads_.emplace_back([this] { Work(); });
  }
  ~Pool() {
    {
      std::lock_guard<std::mutex> lock(mutex_);
      stop_ = true;
    }
    wake_.notify_all();
    for (auto& thread : threads_) thread.join();
  }
  void Schedule(XLA_FFI_Task* task, void* data) {
    if (threads_.empty()) return task(data);
    {
      std::lock_guard<std::mutex> lock(mutex_);
      tasks_.push_back({task, data});
    }
    wake_.notify_one();
  }
  // At least one, as XLA's pool: the caller counts.
  int64_t size() const { return threads_.empty() ? 1 : static_cast<int64_t>(threads_.size()); }

 private:
  void Work() {
    for (;;) {
      std::unique_lock<std::mutex> lock(mutex_);
      wake_.wait(lock, [this] { return stop_ || !tasks_.empty(); });
      if (tasks_.empty()) return;
      const auto [task, data] = tasks_.front();
      tasks_.pop_front();
      lock.unlock();
      task(data);
    }
  }

  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::pair<XLA_FFI_Task*, void*>> tasks_;
  std::vector<std::thread> threads_;
  bool stop_ = false;
};

inline int64_t ItemSize(XLA_FFI_DataType dtype) {
  switch (dtype) {
    case XLA_FFI_DataType_F64:
    case XLA_FFI_DataType_S64:
    case XLA_FFI_DataType_U64:
    case XLA_FFI_DataType_C64:
      return 8;
    case XLA_FFI_DataType_F32:
    case XLA_FFI_DataType_S32:
    case XLA_FFI_DataType_U32:
      return 4;
    case XLA_FFI_DataType_F16:
    case XLA_FFI_DataType_BF16:
    case XLA_FFI_DataType_S16:
    case XLA_FFI_DataType_U16:
      return 2;
    default:
      return 1;
  }
}

// Memory of exactly the size that shape and dtype say, so that a byte too far is seen.
struct Buffer {
  XLA_FFI_DataType dtype = XLA_FFI_DataType_F32;
  std::vector<int64_t> dims;
  std::shared_ptr<void> memory;

  Buffer() = default;
  Buffer(XLA_FFI_DataType type, std::vector<int64_t> shape) : dtype(type), dims(std::move(shape)) { Allocate(); }
  Buffer(XLA_FFI_DataType type, std::vector<int64_t> shape, void* elsewhere)
      : dtype(type), dims(std::move(shape)), memory(elsewhere, [](void*) {}) {}

  int64_t count() const {
    int64_t n = 1;
    for (int64_t d : dims) n *= d;
    return n;
  }
  void Allocate() { memory = std::shared_ptr<void>(std::calloc(std::max<int64_t>(1, count()) * ItemSize(dtype), 1), std::free); }
  template <typename T>
  T* as() const {
    return static_cast<T*>(memory.get());
  }
};

struct Attribute {
  XLA_FFI_DataType dtype = XLA_FFI_DataType_S64;
  int64_t integer = 0;
  double real = 0;
};

struct Call {
  std::vector<Buffer> arguments;
  std::vector<Buffer> results;
  std::map<std::string, Attribute> attributes;

  void Set(const std::string& name, int64_t value) { attributes[name] = {XLA_FFI_DataType_S64, value, 0}; }
  void SetReal(const std::string& name, double value) { attributes[name] = {XLA_FFI_DataType_F64, 0, value}; }
};

namespace internal {

inline XLA_FFI_Error* CreateError(XLA_FFI_Error_Create_Args* args) {
  return new XLA_FFI_Error{args->message, args->errc};
}
inline void GetMessage(XLA_FFI_Error_GetMessage_Args* args) { args->message = args->error->message.c_str(); }
inline void DestroyError(XLA_FFI_Error_Destroy_Args* args) { delete args->error; }
inline XLA_FFI_Error* Schedule(XLA_FFI_ThreadPool_Schedule_Args* args) {
  reinterpret_cast<Pool*>(args->ctx)->Schedule(args->task, args->data);
  return nullptr;
}
inline XLA_FFI_Error* NumThreads(XLA_FFI_ThreadPool_NumThreads_Args* args) {
  *args->num_threads = reinterpret_cast<Pool*>(args->ctx)->size();
  return nullptr;
}

inline XLA_FFI_Buffer Raw(Buffer& buffer) {
  XLA_FFI_Buffer raw{};
  raw.struct_size = XLA_FFI_Buffer_STRUCT_SIZE;
  raw.dtype = buffer.dtype;
  raw.data = buffer.memory.get();
  raw.rank = static_cast<int64_t>(buffer.dims.size());
  raw.dims = buffer.dims.data();
  return raw;
}

}  // namespace internal

// Calls a handler; the message of its error, or nothing.
inline std::string Run(XLA_FFI_Handler* handler, Call& call, Pool& pool) {
  XLA_FFI_Api api{};
  api.struct_size = XLA_FFI_Api_STRUCT_SIZE;
  api.api_version.struct_size = XLA_FFI_Api_Version_STRUCT_SIZE;
  api.api_version.major_version = XLA_FFI_API_MAJOR;
  api.api_version.minor_version = XLA_FFI_API_MINOR;
  api.XLA_FFI_Error_Create = internal::CreateError;
  api.XLA_FFI_Error_GetMessage = internal::GetMessage;
  api.XLA_FFI_Error_Destroy = internal::DestroyError;
  api.XLA_FFI_ThreadPool_Schedule = internal::Schedule;
  api.XLA_FFI_ThreadPool_NumThreads = internal::NumThreads;

  std::vector<XLA_FFI_Buffer> buffers;
  for (auto& argument : call.arguments) buffers.push_back(internal::Raw(argument));
  std::vector<XLA_FFI_ArgType> types(buffers.size(), XLA_FFI_ArgType_BUFFER);
  std::vector<void*> arguments;
  for (auto& buffer : buffers) arguments.push_back(&buffer);
  std::vector<XLA_FFI_Buffer> outputs;
  for (auto& result : call.results) outputs.push_back(internal::Raw(result));
  std::vector<XLA_FFI_RetType> result_types(outputs.size(), XLA_FFI_RetType_BUFFER);
  std::vector<void*> results;
  for (auto& output : outputs) results.push_back(&output);

  std::vector<XLA_FFI_Scalar> scalars;
  std::vector<XLA_FFI_ByteSpan> spans;
  for (auto& [name, value] : call.attributes) {
    void* data = value.dtype == XLA_FFI_DataType_F64 ? static_cast<void*>(&value.real) : &value.integer;
    scalars.push_back({value.dtype, data});
    spans.push_back({name.data(), name.size()});
  }
  std::vector<XLA_FFI_AttrType> attribute_types(scalars.size(), XLA_FFI_AttrType_SCALAR);
  std::vector<XLA_FFI_ByteSpan*> names;
  std::vector<void*> attributes;
  for (size_t i = 0; i < scalars.size(); ++i) {
    names.push_back(&spans[i]);
    attributes.push_back(&scalars[i]);
  }

  XLA_FFI_CallFrame frame{};
  frame.struct_size = XLA_FFI_CallFrame_STRUCT_SIZE;
  frame.api = &api;
  frame.ctx = reinterpret_cast<XLA_FFI_ExecutionContext*>(&pool);
  frame.stage = XLA_FFI_ExecutionStage_EXECUTE;
  frame.args = {XLA_FFI_Args_STRUCT_SIZE, nullptr, static_cast<int64_t>(buffers.size()), types.data(),
                arguments.data()};
  frame.rets = {XLA_FFI_Rets_STRUCT_SIZE, nullptr, static_cast<int64_t>(outputs.size()), result_types.data(),
                results.data()};
  frame.attrs = {XLA_FFI_Attrs_STRUCT_SIZE, nullptr, static_cast<int64_t>(scalars.size()), attribute_types.data(),
                 names.data(), attributes.data()};
  XLA_FFI_Error* error = handler(&frame);
  if (error == nullptr) return "";
  const std::string message = error->message.empty() ? "an error without a message" : error->message;
  delete error;
  return message;
}

}  // namespace host

#endif  // EVENTOPS_TESTS_HOST_H_
