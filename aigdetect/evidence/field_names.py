"""Names of fields that have none in their file, as ExifTool has them.

Those of fixed headers stand one behind the other, each with its code of ``struct``; a field without a name is
passed over.
"""

from __future__ import annotations

JPEG_FRAME = (
    ("BitsPerSample", ">B"),
    ("ImageHeight", ">H"),
    ("ImageWidth", ">H"),
    ("ColorComponents", ">B"),
)

PNG_HEADER = (
    ("ImageWidth", ">I"),
    ("ImageHeight", ">I"),
    ("BitDepth", ">B"),
    ("ColorType", ">B"),
    ("Compression", ">B"),
    ("Filter", ">B"),
    ("Interlace", ">B"),
)

GIF_SCREEN = (
    ("ImageWidth", "<H"),
    ("ImageHeight", "<H"),
    ("Flags", "<B"),
    ("BackgroundColor", "<B"),
    ("", "<B"),
)

PSD_HEADER = (
    ("NumChannels", ">H"),
    ("ImageHeight", ">I"),
    ("ImageWidth", ">I"),
    ("BitDepth", ">H"),
    ("ColorMode", ">H"),
)

JFIF = (
    ("JFIFVersion", ">H"),
    ("ResolutionUnit", ">B"),
    ("XResolution", ">H"),
    ("YResolution", ">H"),
    ("ThumbnailWidth", ">B"),
    ("ThumbnailHeight", ">B"),
)

ADOBE = (
    ("DCTEncodeVersion", ">H"),
    ("APP14Flags0", ">H"),
    ("APP14Flags1", ">H"),
    ("ColorTransform", ">B"),
)

PNG_PHYS = (("PixelsPerUnitX", ">I"), ("PixelsPerUnitY", ">I"), ("PixelUnits", ">B"))

PNG_CHRM = tuple(
    (f"{name}{axis}", ">I") for name in ("WhitePoint", "Red", "Green", "Blue") for axis in ("X", "Y")
)

BMP_HEADER = (
    ("", "<2s"),
    ("FileSize", "<I"),
    ("", "<4s"),
    ("PixelOffset", "<I"),
    ("HeaderSize", "<I"),
    ("ImageWidth", "<i"),
    ("ImageHeight", "<i"),
    ("Planes", "<H"),
    ("BitDepth", "<H"),
    ("Compression", "<I"),
    ("ImageLength", "<I"),
    ("PixelsPerMeterX", "<I"),
    ("PixelsPerMeterY", "<I"),
    ("NumColors", "<I"),
    ("NumImportantColors", "<I"),
)

MPF_TAGS = {
    0xB000: "MPFVersion",
    0xB001: "NumberOfImages",
    0xB002: "MPImageList",
    0xB003: "ImageUIDList",
    0xB004: "TotalFrames",
    0xB101: "MPIndividualNum",
    0xB201: "PanOrientation",
    0xB204: "BaseViewpointNum",
    0xB205: "ConvergenceAngle",
    0xB206: "BaselineLength",
}
"""Tags of the directories of the multi-picture format (CIPA DC-007)."""

INTEROPERABILITY = {
    1: "InteropIndex",
    2: "InteropVersion",
    0x1000: "RelatedImageFileFormat",
    0x1001: "RelatedImageWidth",
    0x1002: "RelatedImageHeight",
}
"""Tags of EXIF's interoperability directory, which mean others elsewhere."""

BOXES = {
    "ftyp": (("MajorBrand", ">4s"), ("MinorVersion", ">I"), ("CompatibleBrands", ">4s")),
    "hdlr": (("", ">8x"), ("HandlerType", ">4s")),
    "ispe": (("", ">4x"), ("ImageWidth", ">I"), ("ImageHeight", ">I")),
    "pitm": (("", ">4x"), ("PrimaryItemReference", ">H")),
    "ihdr": (
        ("ImageHeight", ">I"),
        ("ImageWidth", ">I"),
        ("NumberOfComponents", ">H"),
        ("BitsPerComponent", ">B"),
        ("Compression", ">B"),
    ),
    "pixi": (("", ">4x"), ("NumChannels", ">B"), ("ImagePixelDepth", ">B")),
}
"""What stands at the beginning of boxes."""

PHOTOSHOP_RESOURCES = {
    0x03ED: "ResolutionInfo",
    0x03F3: "PrintFlags",
    0x03F5: "ColorHalftoningInfo",
    0x03F8: "ColorTransferFuncs",
    0x0406: "JPEG_Quality",
    0x0408: "GridGuidesInfo",
    0x040A: "CopyrightFlag",
    0x040B: "URL",
    0x040D: "GlobalAngle",
    0x0414: "IDsBaseValue",
    0x0419: "GlobalAltitude",
    0x041A: "SliceInfo",
    0x041E: "URL_List",
    0x0421: "VersionInfo",
    0x0426: "PrintScaleInfo",
    0x0428: "PixelAspectRatio",
    0x043A: "PrintInfo2",
    0x043B: "PrintStyle",
    0x2710: "PrintFlagsInfo",
    0x0404: "IPTCData",
    0x040C: "PhotoshopThumbnail",
    0x040F: "ICC_Profile",
    0x0422: "EXIFInfo",
    0x0424: "XMP",
    0x0425: "IPTCDigest",
}
"""Photoshop's image resources by number."""

IPTC_DATA_SETS = {
    (1, 0): "EnvelopeRecordVersion",
    (1, 90): "CodedCharacterSet",
    (2, 0): "ApplicationRecordVersion",
    (2, 5): "ObjectName",
    (2, 7): "EditStatus",
    (2, 10): "Urgency",
    (2, 15): "Category",
    (2, 20): "SupplementalCategories",
    (2, 22): "FixtureIdentifier",
    (2, 25): "Keywords",
    (2, 40): "SpecialInstructions",
    (2, 55): "DateCreated",
    (2, 60): "TimeCreated",
    (2, 62): "DigitalCreationDate",
    (2, 63): "DigitalCreationTime",
    (2, 65): "OriginatingProgram",
    (2, 70): "ProgramVersion",
    (2, 80): "By-line",
    (2, 85): "By-lineTitle",
    (2, 90): "City",
    (2, 92): "Sub-location",
    (2, 95): "Province-State",
    (2, 100): "Country-PrimaryLocationCode",
    (2, 101): "Country-PrimaryLocationName",
    (2, 103): "OriginalTransmissionReference",
    (2, 105): "Headline",
    (2, 110): "Credit",
    (2, 115): "Source",
    (2, 116): "CopyrightNotice",
    (2, 118): "Contact",
    (2, 120): "Caption-Abstract",
    (2, 122): "Writer-Editor",
}
"""Data sets of IPTC-IIM by record and number."""

ICC_HEADER = (
    ("ProfileCMMType", 4, 4),
    ("ProfileVersion", 8, 4),
    ("ProfileClass", 12, 4),
    ("ColorSpaceData", 16, 4),
    ("ProfileConnectionSpace", 20, 4),
    ("ProfileDateTime", 24, 12),
    ("ProfileFileSignature", 36, 4),
    ("PrimaryPlatform", 40, 4),
    ("CMMFlags", 44, 4),
    ("DeviceManufacturer", 48, 4),
    ("DeviceModel", 52, 4),
    ("DeviceAttributes", 56, 8),
    ("RenderingIntent", 64, 4),
    ("ConnectionSpaceIlluminant", 68, 12),
    ("ProfileCreator", 80, 4),
    ("ProfileID", 84, 16),
)
"""Fields of the header of a colour profile: name, place and size."""

ICC_TAGS = {
    "desc": "ProfileDescription",
    "cprt": "ProfileCopyright",
    "wtpt": "MediaWhitePoint",
    "bkpt": "MediaBlackPoint",
    "rXYZ": "RedMatrixColumn",
    "gXYZ": "GreenMatrixColumn",
    "bXYZ": "BlueMatrixColumn",
    "rTRC": "RedTRC",
    "gTRC": "GreenTRC",
    "bTRC": "BlueTRC",
    "kTRC": "GrayTRC",
    "chad": "ChromaticAdaptation",
    "dmnd": "DeviceMfgDesc",
    "dmdd": "DeviceModelDesc",
    "vued": "ViewingCondDesc",
    "view": "ViewingConditions",
    "lumi": "Luminance",
    "meas": "Measurement",
    "tech": "Technology",
    "targ": "CharTarget",
    "chrm": "Chromaticity",
    "vcgt": "VideoCardGamma",
    "A2B0": "AToB0",
    "A2B1": "AToB1",
    "A2B2": "AToB2",
    "B2A0": "BToA0",
    "B2A1": "BToA1",
    "B2A2": "BToA2",
    "gamt": "Gamut",
    "mmod": "MakeAndModel",
}
"""Tags of a colour profile by signature."""
