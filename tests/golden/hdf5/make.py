"""Makes the HDF5 files of this folder with h5py: what well-behaved programs write, and what hostile ones might.

Made with h5py 3.7.0, HDF5 1.10.8, numpy 1.24.2 (Debian 12: /usr/bin/python3, packages python3-h5py and python3-numpy).
Run in this folder: python3 make.py
"""

import os

import h5py
import numpy as np

HERE = os.path.dirname(os.path.abspath(__file__))


def new(name):
    return h5py.File(os.path.join(HERE, name), "w")


def new_latest(name):
    """As libver="latest", but without times, so that the bytes are the same each time."""
    creation = h5py.h5p.create(h5py.h5p.FILE_CREATE)
    creation.set_obj_track_times(False)
    access = h5py.h5p.create(h5py.h5p.FILE_ACCESS)
    access.set_libver_bounds(h5py.h5f.LIBVER_LATEST, h5py.h5f.LIBVER_LATEST)
    path = os.path.join(HERE, name).encode()
    return h5py.File(h5py.h5f.create(path, h5py.h5f.ACC_TRUNC, creation, access))


def ramp(dtype, *shape):
    """Element i is i - 5 (i for unsigned), row-major; small enough for every type."""
    start = 0 if np.dtype(dtype).kind == "u" else -5
    return (np.arange(np.prod(shape, dtype=int)) + start).astype(dtype).reshape(shape)


def well_behaved():
    with new("types.h5") as f:
        for dtype in ["f2", "f4", "f8", "u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", ">f4", ">f8", ">i2", ">i8", ">u4"]:
            f["big_" + dtype[1:] if dtype[0] == ">" else dtype] = ramp(dtype, 3, 4)
        f["bool"] = np.array([True, False, True])
        f["scalar"] = np.float32(2.5)
        f["empty"] = np.zeros((0, 3), "f4")
        f["bf16"] = np.array([0x3F80, 0xC000], "u2")  # 1, -2
        f["bf16"].attrs["dtype"] = np.bytes_("bfloat16")
        f["group/nested"] = ramp("i4", 2)
        f["a%2Fb"] = ramp("i4", 2)
        f["named"] = ramp("i4", 2)
        f["named"].attrs["name"] = np.bytes_("/model/x.%")
        f["commented"] = ramp("i4", 2)
        f["commented"].attrs["comment"] = "variable-length text that nobody asks for"
        f["commented"].attrs["number"] = 7
    with new("chunks.h5") as f:
        f.create_dataset("plain", data=ramp("f4", 7, 5), chunks=(3, 2))
        f.create_dataset("gzip", data=ramp("f4", 7, 5), chunks=(3, 2), compression="gzip")
        f.create_dataset("both", data=ramp("i8", 7, 5, 4), chunks=(3, 2, 4), compression="gzip", shuffle=True)
        f.create_dataset("line", data=ramp("f8", 1000), chunks=(64,), compression=9, shuffle=True)
        f.create_dataset("many", data=ramp("i4", 300), chunks=(1,))
    with new("groups.h5") as f:
        for i in range(100):  # more than one node of the group's B-tree
            f["g/%03d" % i] = np.int32(i)


def hostile():
    with new("external_storage.h5") as f:
        dcpl = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        dcpl.set_obj_track_times(False)
        dcpl.set_external(b"/etc/hostname", 0, 4)
        h5py.h5d.create(f.id, b"x", h5py.h5t.STD_U8LE, h5py.h5s.create_simple((4,)), dcpl)
    with new("external_link.h5") as f:
        f["x"] = h5py.ExternalLink("types.h5", "/f4")
    with new("soft_link.h5") as f:
        f["x"] = np.float32(1)
        f["y"] = h5py.SoftLink("/x")
    with new("hard_link_cycle.h5") as f:
        f.create_group("g")
        f["g/up"] = f["/"]
    with new("virtual.h5") as f:
        dcpl = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        dcpl.set_obj_track_times(False)
        space = h5py.h5s.create_simple((3, 4))
        dcpl.set_virtual(space, b"types.h5", b"f4", space)
        h5py.h5d.create(f.id, b"x", h5py.h5t.IEEE_F32LE, space, dcpl)
    with new("vlen_text.h5") as f:
        f["x"] = "text of variable length"
    with new("vlen_sequence.h5") as f:
        f.create_dataset("x", (1,), h5py.vlen_dtype("i4"))[0] = [1, 2]
    with new("reference.h5") as f:
        f.create_dataset("x", (1,), h5py.ref_dtype)[0] = f.ref
    with new("compound.h5") as f:
        f["x"] = np.zeros(2, [("a", "f4"), ("b", "i4")])
    with new("committed_type.h5") as f:
        f["t"] = np.dtype("f4")
        f.create_dataset("x", (2,), dtype=f["t"])
    with new("enum.h5") as f:
        f.create_dataset("x", (1,), h5py.enum_dtype({"CAT": 0, "DOG": 1}, basetype="i1"))
    with new("null.h5") as f:
        f["x"] = h5py.Empty("f4")
    with new("lzf.h5") as f:
        f.create_dataset("x", data=ramp("f4", 100), compression="lzf")
    with new("fletcher.h5") as f:
        f.create_dataset("x", data=ramp("f4", 100), fletcher32=True)
    with new("huge.h5") as f:
        f.create_dataset("x", (1 << 40,), "f4")
    with new("huge_chunks.h5") as f:
        f.create_dataset("x", (1 << 40,), "f4", chunks=(1 << 10,))
        f["x"][0] = 1
    with new("huge_deflated.h5") as f:
        f.create_dataset("x", (1 << 30,), "f4", chunks=(1 << 12,), compression="gzip")
    with new_latest("latest.h5") as f:
        f["x"] = ramp("f4", 3)
    with new("bad_word.h5") as f:
        f["x"] = ramp("f4", 3)
        f["x"].attrs["dtype"] = np.bytes_("bfloat16")
    with new("vlen_word.h5") as f:
        f["x"] = ramp("u2", 3)
        f["x"].attrs["dtype"] = "bfloat16"
    with new("twice.h5") as f:
        f["x"] = ramp("f4", 3)
        f["y"] = ramp("f4", 3)
        f["y"].attrs["name"] = np.bytes_("x")


if __name__ == "__main__":
    well_behaved()
    hostile()
