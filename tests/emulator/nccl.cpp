// NCCL for emulated devices of one process. Ranks are driven by one thread, inside ncclGroupStart/End, or by a thread
// each. A call (or the end of a group) returns when every rank has made its own, or fails with the name of the missing
// ranks; the data moves when the streams of all ranks have reached it, and no stream passes it before. Ranks that
// disagree on count, type, operation or root, which the vendor's library answers with a hang or with wrong data, are
// refused. Not emulated: capture into graphs.
#include "nccl.h"

#include <algorithm>
#include <condition_variable>
#include <cstring>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "core/cat.h"
#include "emulator_control.h"
#include "nccl_control.h"
#include "nccl_transfer.h"
#include "runtime.h"

namespace emulator = kvgauge::cuda::emulator;
using kvgauge::cat;
using namespace kvgauge::cuda::emulator::nccl;

namespace {

struct World;

/// One rank's part of a collective or transfer, from its call until the data is queued or refused.
struct Post {
  Shape shape;
  Buffers buffers;
  ncclComm_t comm = nullptr;  // until the call returns
  int rank = 0, ranks = 0, device = 0;
  cudaStream_t stream = nullptr;
  bool finished = false;
  ncclResult_t result = ncclSuccess;
  std::string reason = {};
};
using PostPointer = std::shared_ptr<Post>;

/// The communicator that ranks share.
struct World {
  int ranks = 0;
  int joined = 0;
  std::map<int, ncclComm_t> members;                                // live, by rank
  std::map<std::uint64_t, std::map<int, PostPointer>> collectives;  // by number, then rank; until all ranks have called
  std::map<std::pair<int, int>, std::deque<PostPointer>> sends, receives;  // by (from, to); unmatched
  ncclResult_t broken = ncclSuccess;
};

}  // namespace

struct ncclComm {
  std::shared_ptr<World> world;
  int rank;
  int device;
  std::uint64_t collectives = 0;  // called so far
};

namespace {

std::mutex mutex;  // of all below; taken before the runtime's, and by nothing that streams run
std::condition_variable changed;
std::map<std::string, std::shared_ptr<World>> worlds;  // by unique id
std::set<ncclComm_t> live;
std::chrono::milliseconds patience{10'000};
std::uint64_t next_id = 1;

struct Joining {
  std::shared_ptr<World> world;
  ncclComm_t comm;
  ncclComm_t* out;
};
thread_local int group_depth = 0;
thread_local std::vector<PostPointer> group;
thread_local std::vector<Joining> group_joining;
thread_local ncclResult_t group_error = ncclSuccess;
thread_local std::string last_error;

ncclResult_t refuse(ncclResult_t result, std::string reason) {
  last_error = std::move(reason);
  if (group_depth > 0 && group_error == ncclSuccess) group_error = result;
  return result;
}

void finish(Post& post, ncclResult_t result, const std::string& reason) {
  post.finished = true;
  post.result = result;
  post.reason = reason;
}

std::string check_buffer(const char* what, const void* pointer, std::size_t bytes, int device) {
  const auto* address = static_cast<const std::byte*>(pointer);
  for (const emulator::DeviceRange& range : emulator::device_ranges()) {
    if (address < range.begin || address >= range.begin + range.bytes) continue;
    if (address + bytes > range.begin + range.bytes)
      return cat(what, ": ", bytes, " bytes from offset ", address - range.begin, " of ", range.name, ", which has ",
                 range.bytes);
    if (range.kind == emulator::RangeKind::kDevice && range.device != device)
      return cat(what, ": ", range.name, " is on device ", range.device, ", the communicator's rank on ", device);
    return "";
  }
  return cat(what, ": not in a live device allocation");
}

std::string check_buffers(const Post& post) {
  if (post.shape.count == 0) return "";
  std::string wrong;
  if (post.shape.sends(post.rank))
    wrong = check_buffer("sendbuff", post.buffers.send, post.shape.send_bytes(post.ranks), post.device);
  if (wrong.empty() && post.shape.receives(post.rank))
    wrong = check_buffer("recvbuff", post.buffers.receive, post.shape.receive_bytes(post.ranks), post.device);
  return wrong;
}

/// Queues `move` behind everything that the streams hold, and nothing that they are given later before it.
void queue_on_all(const std::vector<PostPointer>& posts, std::function<void()> move) {
  const std::lock_guard lock(emulator::runtime().mutex);
  const char* what = name(posts.front()->shape.kind);
  const cudaStream_t leader = posts.front()->stream;
  cudaError_t error = cudaSuccess;
  for (const PostPointer& post : posts) emulator::order_after(leader, {post->stream, post->stream->queued});
  error = emulator::submit(leader, {what, std::move(move)});
  const emulator::Position done{leader, leader->queued};
  for (const PostPointer& post : posts) {
    if (error != cudaSuccess || post->stream == leader) continue;
    emulator::order_after(post->stream, done);
    error = emulator::submit(post->stream, {what, [] {}});
  }
  for (const PostPointer& post : posts)
    finish(*post, error == cudaSuccess ? ncclSuccess : ncclUnhandledCudaError,
           error == cudaSuccess ? "" : cudaGetErrorString(error));
}

/// Memory may have been freed since the call.
void check_when_run(const std::vector<Post>& posts) {
  for (const Post& post : posts)
    if (const std::string wrong = check_buffers(post); !wrong.empty())
      emulator::raise_fault(emulator::FaultKind::kOutOfBounds,
                            cat(name(post.shape.kind), " of rank ", post.rank, ", when it ran: ", wrong));
}

std::vector<Post> copies(const std::vector<PostPointer>& posts) {
  std::vector<Post> out;
  for (const PostPointer& post : posts) out.push_back(*post);
  return out;
}

void refuse_all(const std::vector<PostPointer>& posts, const std::string& reason) {
  for (const PostPointer& post : posts) finish(*post, ncclInvalidArgument, reason);
  posts.front()->comm->world->broken = ncclInvalidArgument;
}

/// All ranks have called.
void launch_collective(const std::vector<PostPointer>& posts) {
  for (const PostPointer& post : posts) {
    const Shape &first = posts.front()->shape, &other = post->shape;
    const bool same = first.kind == other.kind && first.count == other.count && first.type == other.type &&
                      first.operation == other.operation && first.root == other.root;
    if (!same)
      return refuse_all(posts, cat("rank 0 calls ", describe(first), ", rank ", post->rank, " ", describe(other)));
  }
  queue_on_all(posts, [called = copies(posts)] {
    check_when_run(called);
    std::vector<Buffers> buffers;
    for (const Post& post : called) buffers.push_back(post.buffers);
    if (called.front().shape.count > 0) transfer(called.front().shape, buffers);
  });
}

/// @param ends the sender's and the receiver's
void launch_transfer(const std::vector<PostPointer>& ends) {
  const Shape &sent = ends[0]->shape, &received = ends[1]->shape;
  if (sent.count != received.count || sent.type != received.type)
    return refuse_all(ends, cat("rank ", ends[0]->rank, " calls ", describe(sent), " to rank ", ends[1]->rank,
                                ", which calls ", describe(received)));
  queue_on_all(ends, [called = copies(ends)] {
    check_when_run(called);
    std::memmove(called[1].buffers.receive, called[0].buffers.send, called[0].shape.send_bytes(1));
  });
}

void post_transfer(const PostPointer& post) {
  World& world = *post->comm->world;
  const bool sends = post->shape.kind == Kind::kSend;
  const int rank = post->rank, peer = post->shape.root;
  const std::pair<int, int> way = sends ? std::pair(rank, peer) : std::pair(peer, rank);
  auto &own = sends ? world.sends[way] : world.receives[way], &others = sends ? world.receives[way] : world.sends[way];
  own.push_back(post);
  if (others.empty()) return;
  const PostPointer other = others.front();
  own.pop_back();
  others.pop_front();
  launch_transfer(sends ? std::vector{post, other} : std::vector{other, post});
}

void post_collective(const PostPointer& post) {
  World& world = *post->comm->world;
  const std::uint64_t number = post->comm->collectives++;
  auto& called = world.collectives[number];
  called[post->rank] = post;
  if (static_cast<int>(called.size()) < world.ranks) return;
  std::vector<PostPointer> posts;
  for (const auto& [rank, one] : called) posts.push_back(one);
  world.collectives.erase(number);
  launch_collective(posts);
}

/// "ranks 1,3 have not"
std::string missing(const Post& post) {
  if (post.shape.kind == Kind::kSend || post.shape.kind == Kind::kReceive)
    return cat("rank ", post.shape.root, " has not");
  std::vector<int> ranks;
  for (const auto& [number, called] : post.comm->world->collectives)
    for (int rank = 0; rank < post.comm->world->ranks; ++rank)
      if (const auto own = called.find(post.rank);
          own != called.end() && own->second.get() == &post && !called.contains(rank))
        ranks.push_back(rank);
  return cat(ranks.size() == 1 ? "rank " : "ranks ", kvgauge::join(ranks),
             ranks.size() == 1 ? " has not" : " have not");
}

/// Forgets what nobody will answer any more, so that later calls fail instead of meeting it.
void give_up(World& world) {
  world.broken = ncclRemoteError;
  for (auto& [number, called] : world.collectives)
    for (const auto& [rank, post] : called)
      if (!post->finished) finish(*post, ncclRemoteError, "another rank has given up");
  for (auto* queues : {&world.sends, &world.receives})
    for (auto& [way, queue] : *queues)
      for (const PostPointer& post : queue)
        if (!post->finished) finish(*post, ncclRemoteError, "another rank has given up");
  world.collectives.clear();
  world.sends.clear();
  world.receives.clear();
}

/// Makes the group's calls and waits for those of the other ranks.
ncclResult_t end_group(std::vector<PostPointer> posts) {
  std::unique_lock lock(mutex);
  for (const PostPointer& post : posts) {
    if (post->comm->world->broken != ncclSuccess) {
      finish(*post, ncclRemoteError, "the communicator is broken");
    } else if (post->shape.kind == Kind::kSend || post->shape.kind == Kind::kReceive) {
      post_transfer(post);
    } else {
      post_collective(post);
    }
  }
  changed.notify_all();
  const auto until = std::chrono::steady_clock::now() + patience;
  for (const PostPointer& post : posts) {
    if (!changed.wait_until(lock, until, [&] { return post->finished; })) {
      finish(*post, ncclInvalidUsage,
             cat(missing(*post), " made the call that rank ", post->rank,
                 " waits in; ranks of one thread need ncclGroupStart"));
      give_up(*post->comm->world);
      changed.notify_all();
    }
    if (post->result != ncclSuccess) {
      last_error = cat(name(post->shape.kind), " of rank ", post->rank, ": ", post->reason);
      return post->result;
    }
  }
  return ncclSuccess;
}

bool is_live(ncclComm_t comm) {
  const std::lock_guard lock(mutex);
  return live.contains(comm);
}

ncclResult_t call(Shape shape, Buffers buffers, ncclComm_t comm, cudaStream_t stream) {
  const char* function = name(shape.kind);
  if (!is_live(comm)) return refuse(ncclInvalidArgument, cat(function, ": the communicator is not a live one"));
  const int ranks = comm->world->ranks;
  if (shape.type < 0 || shape.type >= ncclNumTypes)
    return refuse(ncclInvalidArgument, cat(function, ": data type ", static_cast<int>(shape.type)));
  if (shape.operation < 0 || shape.operation >= ncclNumOps)
    return refuse(ncclInvalidArgument, cat(function, ": operation ", static_cast<int>(shape.operation)));
  if (shape.root < 0 || shape.root >= ranks)
    return refuse(ncclInvalidArgument, cat(function, ": rank ", shape.root, " of a communicator of ", ranks));
  auto post = std::make_shared<Post>(Post{
      .shape = shape, .buffers = buffers, .comm = comm, .rank = comm->rank, .ranks = ranks, .device = comm->device});
  {
    const std::lock_guard lock(emulator::runtime().mutex);
    if (const cudaError_t error = emulator::enter(function); error != cudaSuccess)
      return refuse(ncclUnhandledCudaError, cat(function, ": ", cudaGetErrorString(error)));
    post->stream = stream == nullptr
                       ? &emulator::runtime().devices[static_cast<std::size_t>(comm->device)]->default_stream
                       : emulator::resolve(stream);
    if (post->stream == nullptr) return refuse(ncclInvalidArgument, cat(function, ": the stream is not a live one"));
    if (post->stream->device != comm->device)
      return refuse(ncclInvalidArgument, cat(function, ": the stream is of device ", post->stream->device, ", rank ",
                                             comm->rank, " is on device ", comm->device));
    if (post->stream->capture != nullptr)
      return refuse(ncclInvalidUsage, cat(function, ": capture into a graph is not emulated"));
    if (const std::string wrong = check_buffers(*post); !wrong.empty())
      return refuse(ncclInvalidArgument, cat(function, " of rank ", comm->rank, ": ", wrong));
  }
  if (group_depth > 0) {
    group.push_back(std::move(post));
    return ncclSuccess;
  }
  return end_group({std::move(post)});
}

/// @return the failure, after dropping what has joined
ncclResult_t drop(const std::vector<Joining>& joining, ncclResult_t result) {
  for (const Joining& one : joining) {
    one.world->broken = result;
    one.world->members.erase(one.comm->rank);
    live.erase(one.comm);
    delete one.comm;
  }
  changed.notify_all();
  return result;
}

ncclResult_t wait_for_members(const std::vector<Joining>& joining) {
  std::unique_lock lock(mutex);
  const auto until = std::chrono::steady_clock::now() + patience;
  for (const Joining& one : joining) {
    const World& world = *one.world;
    const auto decided = [&] { return world.broken != ncclSuccess || world.joined == world.ranks; };
    if (changed.wait_until(lock, until, decided) && world.broken == ncclSuccess) continue;
    last_error = cat("ncclCommInitRank: ", world.joined, " of ", world.ranks,
                     " ranks have joined; ranks of one thread need ncclGroupStart");
    return drop(joining, world.broken != ncclSuccess ? world.broken : ncclInvalidUsage);
  }
  for (const Joining& one : joining) *one.out = one.comm;
  return ncclSuccess;
}

}  // namespace

namespace kvgauge::cuda::emulator {
void set_nccl_patience(std::chrono::milliseconds time) {
  const std::lock_guard lock(mutex);
  patience = time;
}
std::int64_t live_communicators() {
  const std::lock_guard lock(mutex);
  return static_cast<std::int64_t>(live.size());
}
}  // namespace kvgauge::cuda::emulator

extern "C" {

ncclResult_t ncclGetVersion(int* version) {
  if (version == nullptr) return refuse(ncclInvalidArgument, "ncclGetVersion: null");
  *version = NCCL_VERSION_CODE;
  return ncclSuccess;
}

ncclResult_t ncclGetUniqueId(ncclUniqueId* uniqueId) {
  if (uniqueId == nullptr) return refuse(ncclInvalidArgument, "ncclGetUniqueId: null");
  const std::lock_guard lock(mutex);
  *uniqueId = {};
  const std::string text = cat("emulated ", next_id++);
  std::memcpy(uniqueId->internal, text.data(), text.size());
  return ncclSuccess;
}

ncclResult_t ncclCommInitRank(ncclComm_t* comm, int nranks, ncclUniqueId commId, int rank) {
  int device = 0, devices = 0;
  if (comm == nullptr || nranks < 1 || rank < 0 || rank >= nranks)
    return refuse(ncclInvalidArgument, cat("ncclCommInitRank: rank ", rank, " of ", nranks));
  if (cudaGetDeviceCount(&devices) != cudaSuccess || cudaGetDevice(&device) != cudaSuccess)
    return refuse(ncclUnhandledCudaError, "ncclCommInitRank: there is no device");
  Joining joining{nullptr, nullptr, comm};
  {
    const std::lock_guard lock(mutex);
    auto& world = worlds[std::string(commId.internal, NCCL_UNIQUE_ID_BYTES)];
    if (world == nullptr) world = std::make_shared<World>();
    if (world->ranks == 0) world->ranks = nranks;
    if (world->ranks != nranks)
      return refuse(ncclInvalidArgument, cat("ncclCommInitRank: rank ", rank, " joins ", nranks,
                                             " ranks, another has joined ", world->ranks));
    if (world->joined == nranks || world->members.contains(rank))
      return refuse(ncclInvalidUsage, cat("ncclCommInitRank: rank ", rank, " joins twice"));
    for (const auto& [other, member] : world->members)
      if (member->device == device)
        return refuse(ncclInvalidUsage,
                      cat("ncclCommInitRank: ranks ", other, " and ", rank, " are both on device ", device));
    joining.world = world;
    ++world->joined;
    joining.comm = world->members[rank] = new ncclComm{world, rank, device};
    live.insert(joining.comm);
  }
  changed.notify_all();
  if (group_depth > 0) {
    group_joining.push_back(joining);
    return ncclSuccess;
  }
  return wait_for_members({joining});
}

ncclResult_t ncclCommInitAll(ncclComm_t* comm, int ndev, const int* devlist) {
  int before = 0;
  ncclUniqueId id;
  if (comm == nullptr || ndev < 1) return refuse(ncclInvalidArgument, cat("ncclCommInitAll: ", ndev, " devices"));
  if (cudaGetDevice(&before) != cudaSuccess)
    return refuse(ncclUnhandledCudaError, "ncclCommInitAll: there is no device");
  ncclGetUniqueId(&id);
  ncclGroupStart();
  for (int rank = 0; rank < ndev; ++rank) {
    const int device = devlist != nullptr ? devlist[rank] : rank;
    if (cudaSetDevice(device) != cudaSuccess) {
      refuse(ncclInvalidArgument, cat("ncclCommInitAll: there is no device ", device));
      break;
    }
    if (ncclCommInitRank(comm + rank, ndev, id, rank) != ncclSuccess) break;
  }
  static_cast<void>(cudaSetDevice(before));
  return ncclGroupEnd();
}

ncclResult_t ncclCommDestroy(ncclComm_t comm) {
  const std::lock_guard lock(mutex);
  if (live.erase(comm) == 0) return refuse(ncclInvalidArgument, "ncclCommDestroy: the communicator is not a live one");
  World& world = *comm->world;
  world.members.erase(comm->rank);
  if (world.members.empty()) std::erase_if(worlds, [&](const auto& entry) { return entry.second == comm->world; });
  delete comm;
  return ncclSuccess;
}

ncclResult_t ncclCommAbort(ncclComm_t comm) {
  {
    const std::lock_guard lock(mutex);
    if (live.contains(comm)) give_up(*comm->world);
  }
  changed.notify_all();
  return ncclCommDestroy(comm);
}

const char* ncclGetErrorString(ncclResult_t result) {
  switch (result) {
    case ncclSuccess: return "no error";
    case ncclUnhandledCudaError: return "unhandled cuda error";
    case ncclSystemError: return "unhandled system error";
    case ncclInternalError: return "internal error";
    case ncclInvalidArgument: return "invalid argument";
    case ncclInvalidUsage: return "invalid usage";
    case ncclRemoteError: return "remote process exited or there was a network error";
    case ncclInProgress: return "NCCL operation in progress";
    default: return "unknown result code";
  }
}
const char* ncclGetLastError(ncclComm_t) { return last_error.c_str(); }

ncclResult_t ncclCommGetAsyncError(ncclComm_t comm, ncclResult_t* asyncError) {
  const std::lock_guard lock(mutex);
  if (!live.contains(comm) || asyncError == nullptr)
    return refuse(ncclInvalidArgument, "ncclCommGetAsyncError: the communicator is not a live one");
  *asyncError = comm->world->broken;
  return ncclSuccess;
}

ncclResult_t ncclCommCount(const ncclComm_t comm, int* count) {
  if (!is_live(comm) || count == nullptr)
    return refuse(ncclInvalidArgument, "ncclCommCount: the communicator is not a live one");
  *count = comm->world->ranks;
  return ncclSuccess;
}
ncclResult_t ncclCommCuDevice(const ncclComm_t comm, int* device) {
  if (!is_live(comm) || device == nullptr)
    return refuse(ncclInvalidArgument, "ncclCommCuDevice: the communicator is not a live one");
  *device = comm->device;
  return ncclSuccess;
}
ncclResult_t ncclCommUserRank(const ncclComm_t comm, int* rank) {
  if (!is_live(comm) || rank == nullptr)
    return refuse(ncclInvalidArgument, "ncclCommUserRank: the communicator is not a live one");
  *rank = comm->rank;
  return ncclSuccess;
}

ncclResult_t ncclReduce(const void* sendbuff, void* recvbuff, size_t count, ncclDataType_t datatype, ncclRedOp_t op,
                        int root, ncclComm_t comm, cudaStream_t stream) {
  return call({Kind::kReduce, count, datatype, op, root}, {sendbuff, recvbuff}, comm, stream);
}
ncclResult_t ncclBroadcast(const void* sendbuff, void* recvbuff, size_t count, ncclDataType_t datatype, int root,
                           ncclComm_t comm, cudaStream_t stream) {
  return call({Kind::kBroadcast, count, datatype, ncclSum, root}, {sendbuff, recvbuff}, comm, stream);
}
ncclResult_t ncclAllReduce(const void* sendbuff, void* recvbuff, size_t count, ncclDataType_t datatype, ncclRedOp_t op,
                           ncclComm_t comm, cudaStream_t stream) {
  return call({Kind::kAllReduce, count, datatype, op}, {sendbuff, recvbuff}, comm, stream);
}
ncclResult_t ncclReduceScatter(const void* sendbuff, void* recvbuff, size_t recvcount, ncclDataType_t datatype,
                               ncclRedOp_t op, ncclComm_t comm, cudaStream_t stream) {
  return call({Kind::kReduceScatter, recvcount, datatype, op}, {sendbuff, recvbuff}, comm, stream);
}
ncclResult_t ncclAllGather(const void* sendbuff, void* recvbuff, size_t sendcount, ncclDataType_t datatype,
                           ncclComm_t comm, cudaStream_t stream) {
  return call({Kind::kAllGather, sendcount, datatype}, {sendbuff, recvbuff}, comm, stream);
}
ncclResult_t ncclSend(const void* sendbuff, size_t count, ncclDataType_t datatype, int peer, ncclComm_t comm,
                      cudaStream_t stream) {
  return call({Kind::kSend, count, datatype, ncclSum, peer}, {sendbuff, nullptr}, comm, stream);
}
ncclResult_t ncclRecv(void* recvbuff, size_t count, ncclDataType_t datatype, int peer, ncclComm_t comm,
                      cudaStream_t stream) {
  return call({Kind::kReceive, count, datatype, ncclSum, peer}, {nullptr, recvbuff}, comm, stream);
}

ncclResult_t ncclGroupStart() {
  if (group_depth++ == 0) group_error = ncclSuccess;
  return ncclSuccess;
}

ncclResult_t ncclGroupEnd() {
  if (group_depth == 0) return refuse(ncclInvalidUsage, "ncclGroupEnd: no group was started");
  if (--group_depth > 0) return ncclSuccess;
  const auto posts = std::exchange(group, {});
  const auto joining = std::exchange(group_joining, {});
  if (group_error != ncclSuccess) {
    const std::lock_guard lock(mutex);
    return drop(joining, group_error);
  }
  if (const ncclResult_t joined = wait_for_members(joining); joined != ncclSuccess) return joined;
  return posts.empty() ? ncclSuccess : end_group(posts);
}

}  // extern "C"
